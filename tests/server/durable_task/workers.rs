//! Workers of the Durable Task SDKs, told by hand: turns, activities, timers, sub-orchestrations and events.

mod carry;
mod children;
mod crash;
mod custom;
mod dispatch;
mod dotnet;
mod garbage;
mod hand;
mod misbehaviour;
mod shape;
mod suspension;
mod wellformed;
