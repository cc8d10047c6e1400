//! Messages to bytes and back, as prost has it, in buffers that fit what most calls say.

use std::marker::PhantomData;

use prost::Message;
use tonic::codec::BufferSettings;
use tonic_prost::{ProstDecoder, ProstEncoder};

/// Tonic's own choice is 8 KiB for each message that is under way: more than a start and its answer have together by far,
/// and each waiting stream keeps one. Of less than this, a buffer that is still being sent leaves the next one without
/// room.
const BUFFER_BYTES: usize = 1024;
/// A stream's messages are sent together until they have so many bytes.
const YIELD_BYTES: usize = 32 << 10;

pub struct Codec<E, D>(PhantomData<(E, D)>);

impl<E, D> Default for Codec<E, D> {
    fn default() -> Codec<E, D> {
        Codec(PhantomData)
    }
}

impl<E, D> tonic::codec::Codec for Codec<E, D>
where
    E: Message + Send + 'static,
    D: Message + Default + Send + 'static,
{
    type Encode = E;
    type Decode = D;
    type Encoder = ProstEncoder<E>;
    type Decoder = ProstDecoder<D>;

    fn encoder(&mut self) -> ProstEncoder<E> {
        ProstEncoder::new(buffers())
    }

    fn decoder(&mut self) -> ProstDecoder<D> {
        ProstDecoder::new(buffers())
    }
}

fn buffers() -> BufferSettings {
    BufferSettings::new(BUFFER_BYTES, YIELD_BYTES)
}
