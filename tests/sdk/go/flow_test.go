package sdk

import (
	"errors"
	"fmt"
	"os"
	"regexp"
	"sync/atomic"
	"testing"
	"time"

	"github.com/microsoft/durabletask-go/api"
	"github.com/microsoft/durabletask-go/task"
)

func greet(ctx task.ActivityContext) (any, error) {
	name, err := input[string](ctx)
	return "Hello, " + name + "!", err
}

// In the default task hub, as a program without any metadata.
func TestSequence(t *testing.T) {
	s := enterAt(t, os.Getenv("SOLOIST_SERVER"), "")
	s.work(orchestrators{"Greetings": func(ctx *task.OrchestrationContext) (any, error) {
		var said []string
		for _, name := range []string{"Tokyo", "London", "世界"} {
			var greeting string
			if err := ctx.CallActivity("Greet", task.WithActivityInput(name)).Await(&greeting); err != nil {
				return nil, err
			}
			said = append(said, greeting)
		}
		return said, nil
	}}, activities{"Greet": greet})
	before := time.Now()
	id := s.start("Greetings", api.WithInput(map[string]int{"n": 3}))
	s.completes(id, []string{"Hello, Tokyo!", "Hello, London!", "Hello, 世界!"})
	state := s.look(id)
	is(s, "the name", state.Name, "Greetings")
	is(s, "the input", state.SerializedInput, `{"n":3}`)
	is(s, "the custom status", state.SerializedCustomStatus, "")
	if state.CreatedAt.Before(before.Add(-time.Second)) || state.LastUpdatedAt.Before(state.CreatedAt) {
		t.Fatalf("created at %v, updated at %v", state.CreatedAt, state.LastUpdatedAt)
	}
	bare, err := s.FetchOrchestrationMetadata(s.ctx, id, api.WithFetchPayloads(false))
	s.must(err)
	is(s, "the input that nobody asked for", bare.SerializedInput, "")
	is(s, "the output that nobody asked for", bare.SerializedOutput, "")
}

func TestWithoutResult(t *testing.T) {
	s := enter(t)
	s.work(orchestrators{"Nothing": func(ctx *task.OrchestrationContext) (any, error) {
		var nothing *string
		err := ctx.CallActivity("Nothing").Await(&nothing)
		if nothing != nil {
			return nil, errors.New("a result came of nothing")
		}
		return nil, err
	}}, activities{"Nothing": func(task.ActivityContext) (any, error) { return nil, nil }})
	state := s.ends(s.start("Nothing"))
	is(s, "the status", state.RuntimeStatus, completed)
	is(s, "the output", state.SerializedOutput, "")
	is(s, "the input", state.SerializedInput, "")
}

func TestNotRegistered(t *testing.T) {
	s := enter(t)
	s.work(orchestrators{"Calls": func(ctx *task.OrchestrationContext) (any, error) {
		return nil, ctx.CallActivity("Missing").Await(nil)
	}}, nil)
	id := s.start("Missing")
	is(s, "the end of what no worker knows", s.ends(id).RuntimeStatus, failed)
	id = s.start("Calls")
	is(s, "the end of who calls what no worker knows", s.ends(id).RuntimeStatus, failed)
	is(s, "the message", s.failure(id).ErrorMessage, "task failed with an error: no task activity named 'Missing' was registered")
}

func TestFanOut(t *testing.T) {
	s := enter(t)
	s.work(orchestrators{"Squares": func(ctx *task.OrchestrationContext) (any, error) {
		var calls []task.Task
		for n := 0; n < 20; n++ {
			calls = append(calls, ctx.CallActivity("Square", task.WithActivityInput(n)))
		}
		sum := 0
		for _, call := range calls {
			var square int
			if err := call.Await(&square); err != nil {
				return nil, err
			}
			sum += square
		}
		return sum, nil
	}}, activities{"Square": func(ctx task.ActivityContext) (any, error) {
		n, err := input[int](ctx)
		return n * n, err
	}})
	s.completes(s.start("Squares"), 2470)
}

func TestChildren(t *testing.T) {
	s := enter(t)
	s.work(orchestrators{
		"Parent": func(ctx *task.OrchestrationContext) (any, error) {
			var first, second string
			one := ctx.CallSubOrchestrator("Child", task.WithSubOrchestratorInput("one"))
			two := ctx.CallSubOrchestrator("Child", task.WithSubOrchestratorInput("two"), task.WithSubOrchestrationInstanceID("named"))
			if err := one.Await(&first); err != nil {
				return nil, err
			}
			if err := two.Await(&second); err != nil {
				return nil, err
			}
			return []string{first, second}, nil
		},
		"Child": func(ctx *task.OrchestrationContext) (any, error) {
			name, err := input[string](ctx)
			return fmt.Sprintf("%s of %s", name, regexp.MustCompile("^family:").ReplaceAllString(string(ctx.ID), "")), err
		},
	}, nil)
	parent := s.start("Parent", id("family"))
	s.completes(parent, []string{"one of 0000", "two of named"})
	is(s, "the child's status", s.look("family:0000").RuntimeStatus, completed)
}

func TestChildFails(t *testing.T) {
	s := enter(t)
	s.work(orchestrators{
		"Grandparent": func(ctx *task.OrchestrationContext) (any, error) {
			return nil, ctx.CallSubOrchestrator("Parent", task.WithSubOrchestrationInstanceID("middle")).Await(nil)
		},
		"Parent": func(ctx *task.OrchestrationContext) (any, error) {
			return nil, ctx.CallSubOrchestrator("Child", task.WithSubOrchestrationInstanceID("lowest")).Await(nil)
		},
		"Child": func(ctx *task.OrchestrationContext) (any, error) { return nil, errors.New("kaputt") },
		"Careful": func(ctx *task.OrchestrationContext) (any, error) {
			return fmt.Sprint(ctx.CallSubOrchestrator("Child").Await(nil)), nil
		},
	}, nil)
	id := s.start("Grandparent")
	is(s, "the end", s.ends(id).RuntimeStatus, failed)
	is(s, "why the child failed", s.failure("lowest").ErrorMessage, "kaputt")
	is(s, "its kind", s.failure("lowest").ErrorType, "*errors.errorString")
	is(s, "why the parent failed", s.failure("middle").ErrorMessage, "task failed with an error: kaputt")
	is(s, "why it failed", s.failure(id).ErrorMessage, "task failed with an error: task failed with an error: kaputt")
	s.completes(s.start("Careful"), "task failed with an error: kaputt")
}

func TestChildRetry(t *testing.T) {
	s := enter(t)
	var tries atomic.Int32
	policy := &task.RetryPolicy{MaxAttempts: 3, InitialRetryInterval: 20 * time.Millisecond}
	s.work(orchestrators{
		"Parent": func(ctx *task.OrchestrationContext) (any, error) {
			name, err := input[string](ctx)
			if err != nil {
				return nil, err
			}
			// The package leaves the result of a retry to the last try.
			return nil, ctx.CallSubOrchestrator(name,
				task.WithSubOrchestrationInstanceID("child-of-"+string(ctx.ID)),
				task.WithSubOrchestrationRetryPolicy(policy)).Await(nil)
		},
		"Third": func(ctx *task.OrchestrationContext) (any, error) {
			if tries.Add(1) < 3 {
				return nil, errors.New("not yet")
			}
			return nil, nil
		},
		"Never": func(ctx *task.OrchestrationContext) (any, error) { return nil, errors.New("never") },
	}, nil)
	is(s, "the end", s.ends(s.start("Parent", api.WithInput("Third"))).RuntimeStatus, completed)
	is(s, "the tries", tries.Load(), 3)
	id := s.start("Parent", api.WithInput("Never"))
	is(s, "the end of what never works", s.ends(id).RuntimeStatus, failed)
	is(s, "why", s.failure(id).ErrorMessage, "task failed with an error: never")
}

func TestActivityRetry(t *testing.T) {
	s := enter(t)
	var tries atomic.Int32
	policy := &task.RetryPolicy{MaxAttempts: 3, InitialRetryInterval: 200 * time.Millisecond, BackoffCoefficient: 1}
	s.work(orchestrators{"Calls": func(ctx *task.OrchestrationContext) (any, error) {
		name, err := input[string](ctx)
		if err != nil {
			return nil, err
		}
		return nil, ctx.CallActivity(name, task.WithActivityRetryPolicy(policy)).Await(nil)
	}}, activities{
		"Third": func(ctx task.ActivityContext) (any, error) {
			if tries.Add(1) < 3 {
				return nil, errors.New("not yet")
			}
			return nil, nil
		},
		"Never":  func(ctx task.ActivityContext) (any, error) { return nil, fmt.Errorf("never: %w", os.ErrExist) },
		"Panics": func(ctx task.ActivityContext) (any, error) { panic("help") },
	})
	state := s.ends(s.start("Calls", api.WithInput("Third")))
	is(s, "the end", state.RuntimeStatus, completed)
	is(s, "the tries", tries.Load(), 3)
	if took := state.LastUpdatedAt.Sub(state.CreatedAt); took < 400*time.Millisecond || took > 2*time.Second {
		t.Fatalf("two delays of 200 ms took %v", took)
	}
	for name, why := range map[string]string{"Never": "never: file already exists", "Panics": "panic: help"} {
		id := s.start("Calls", api.WithInput(name))
		is(s, "the end of "+name, s.ends(id).RuntimeStatus, failed)
		is(s, "why", s.failure(id).ErrorMessage, "task failed with an error: "+why)
	}
}

func TestTimers(t *testing.T) {
	s := enter(t)
	s.work(orchestrators{
		"Waits": func(ctx *task.OrchestrationContext) (any, error) {
			ms, err := input[int](ctx)
			if err != nil {
				return nil, err
			}
			due := ctx.CurrentTimeUtc.Add(time.Duration(ms) * time.Millisecond)
			if err := ctx.CreateTimer(time.Duration(ms) * time.Millisecond).Await(nil); err != nil {
				return nil, err
			}
			return !ctx.CurrentTimeUtc.Before(due), nil
		},
		"Many": func(ctx *task.OrchestrationContext) (any, error) {
			var timers []task.Task
			for n := 0; n < 20; n++ {
				timers = append(timers, ctx.CreateTimer(time.Duration(n)*10*time.Millisecond))
			}
			for _, timer := range timers {
				if err := timer.Await(nil); err != nil {
					return nil, err
				}
			}
			return len(timers), nil
		},
		"Abandons": func(ctx *task.OrchestrationContext) (any, error) {
			var said string
			err := ctx.WaitForSingleEvent("word", time.Hour).Await(&said)
			return said, err
		},
		"TimesOut": func(ctx *task.OrchestrationContext) (any, error) {
			err := ctx.WaitForSingleEvent("word", 100*time.Millisecond).Await(nil)
			return errors.Is(err, task.ErrTaskCanceled), nil
		},
	}, nil)
	for _, ms := range []int{0, -5000, 300} {
		id := s.start("Waits", api.WithInput(ms))
		s.completes(id, true)
		state := s.look(id)
		took := state.LastUpdatedAt.Sub(state.CreatedAt)
		if least := time.Duration(ms) * time.Millisecond; took < least || took > max(least, 0)+time.Second {
			t.Fatalf("a timer of %d ms took %v", ms, took)
		}
	}
	s.completes(s.start("Many"), 20)
	waiting := s.start("Abandons")
	s.until(waiting, running)
	s.raise(waiting, "word", "in time")
	s.completes(waiting, "in time")
	s.completes(s.start("TimesOut"), true)
}

func TestScheduledStart(t *testing.T) {
	s := enter(t)
	s.work(orchestrators{"Ends": func(ctx *task.OrchestrationContext) (any, error) {
		return ctx.CurrentTimeUtc, nil
	}}, nil)
	at := time.Now().Add(time.Second)
	id := s.start("Ends", api.WithStartTime(at))
	is(s, "the status before its time", s.look(id).RuntimeStatus, pending)
	if state := s.ends(id); state.LastUpdatedAt.Before(at) {
		t.Fatalf("it was to start at %v and ended at %v", at, state.LastUpdatedAt)
	}
	is(s, "what should have started long ago", s.ends(s.start("Ends", api.WithStartTime(time.Unix(0, 0)))).RuntimeStatus, completed)
}
