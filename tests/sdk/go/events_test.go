package sdk

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/microsoft/durabletask-go/api"
	"github.com/microsoft/durabletask-go/task"
)

// collects takes so many events in the order in which they come.
func collects(count int) task.Orchestrator {
	return func(ctx *task.OrchestrationContext) (any, error) {
		var got []int
		for len(got) < count {
			var n int
			if err := ctx.WaitForSingleEvent("number", -1).Await(&n); err != nil {
				return nil, err
			}
			got = append(got, n)
			ctx.SetCustomStatus(fmt.Sprint("got ", len(got)))
		}
		return got, nil
	}
}

func TestEventsBeforeStart(t *testing.T) {
	s := enter(t)
	id := s.start("Collects")
	for n := 0; n < 3; n++ {
		s.raise(id, "number", n)
	}
	is(s, "the status without a worker", s.look(id).RuntimeStatus, pending)
	s.work(orchestrators{"Collects": collects(4)}, nil)
	s.says(id, "got 3")
	// Names are alike whatever their case.
	s.raise(id, "NUMBER", 3)
	s.completes(id, []int{0, 1, 2, 3})
}

func TestEventsWhileSuspended(t *testing.T) {
	s := enter(t)
	s.work(orchestrators{"Collects": collects(10)}, nil)
	id := s.start("Collects")
	s.until(id, running)
	s.must(s.SuspendOrchestration(s.ctx, id, "stop"))
	is(s, "the status", s.look(id).RuntimeStatus, suspended)
	for n := 0; n < 10; n++ {
		s.raise(id, "number", n)
	}
	ctx, cancel := context.WithTimeout(s.ctx, time.Second)
	defer cancel()
	if _, err := s.WaitForOrchestrationCompletion(ctx, id); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("a suspended one went on: %v", err)
	}
	state := s.look(id)
	is(s, "the status", state.RuntimeStatus, suspended)
	is(s, "the custom status", state.SerializedCustomStatus, "")
	s.must(s.ResumeOrchestration(s.ctx, id, "go"))
	s.completes(id, []int{0, 1, 2, 3, 4, 5, 6, 7, 8, 9})
}

func TestEventsAfterEnd(t *testing.T) {
	s := enter(t)
	s.work(orchestrators{"Collects": collects(0)}, nil)
	id := s.start("Collects")
	is(s, "the end", s.ends(id).RuntimeStatus, completed)
	s.raise(id, "number", 1)
	is(s, "the status", s.look(id).RuntimeStatus, completed)
	s.fails(s.RaiseEvent(s.ctx, "nobody", "number"), "NotFound")
}

func TestEventWithoutPayload(t *testing.T) {
	s := enter(t)
	s.work(orchestrators{"Waits": func(ctx *task.OrchestrationContext) (any, error) {
		got := "nothing"
		err := ctx.WaitForSingleEvent("go", -1).Await(&got)
		return got, err
	}}, nil)
	id := s.start("Waits")
	s.must(s.RaiseEvent(s.ctx, id, "go"))
	s.completes(id, "nothing")
}

func TestCustomStatus(t *testing.T) {
	s := enter(t)
	s.work(orchestrators{"Tells": func(ctx *task.OrchestrationContext) (any, error) {
		for _, status := range []string{"first", "second 世界", "", "last"} {
			ctx.SetCustomStatus(status)
			if err := ctx.WaitForSingleEvent("next", -1).Await(nil); err != nil {
				return nil, err
			}
		}
		return nil, nil
	}}, nil)
	id := s.start("Tells")
	for _, status := range []string{"first", "second 世界", "", "last"} {
		s.says(id, status)
		s.must(s.RaiseEvent(s.ctx, id, "next"))
	}
	is(s, "what is left at the end", s.ends(id).SerializedCustomStatus, "last")
}

func TestContinueAsNew(t *testing.T) {
	s := enter(t)
	s.work(orchestrators{
		"Counts": func(ctx *task.OrchestrationContext) (any, error) {
			n, err := input[int](ctx)
			if err != nil {
				return nil, err
			}
			// Numbers of tasks begin anew with each generation.
			if err := ctx.CallActivity("Add", task.WithActivityInput(n)).Await(&n); err != nil {
				return nil, err
			}
			if n < 10 {
				ctx.ContinueAsNew(n)
			}
			return n, nil
		},
		"Parent": func(ctx *task.OrchestrationContext) (any, error) {
			var n int
			err := ctx.CallSubOrchestrator("Counts", task.WithSubOrchestratorInput(0)).Await(&n)
			return n, err
		},
	}, activities{"Add": func(ctx task.ActivityContext) (any, error) {
		n, err := input[int](ctx)
		return n + 1, err
	}})
	id := s.start("Counts", api.WithInput(0))
	s.completes(id, 10)
	is(s, "the input of the last generation", s.look(id).SerializedInput, "9")
	s.completes(s.start("Parent"), 10)
}

func TestContinueAsNewWithEvents(t *testing.T) {
	s := enter(t)
	id := s.start("Takes", api.WithInput([]int{}))
	for n := 0; n < 10; n++ {
		s.raise(id, "number", n)
	}
	s.work(orchestrators{"Takes": func(ctx *task.OrchestrationContext) (any, error) {
		got, err := input[[]int](ctx)
		if err != nil {
			return nil, err
		}
		var n int
		if err := ctx.WaitForSingleEvent("number", -1).Await(&n); err != nil {
			return nil, err
		}
		if got = append(got, n); len(got) < 10 {
			ctx.ContinueAsNew(got, task.WithKeepUnprocessedEvents())
		}
		return got, nil
	}}, nil)
	s.completes(id, []int{0, 1, 2, 3, 4, 5, 6, 7, 8, 9})
}

func TestContinueAsNewWithoutEvents(t *testing.T) {
	s := enter(t)
	id := s.start("Forgets", api.WithInput(1))
	s.raise(id, "noise", 1)
	s.raise(id, "go", 1)
	s.work(orchestrators{"Forgets": func(ctx *task.OrchestrationContext) (any, error) {
		generation, err := input[int](ctx)
		if err != nil {
			return nil, err
		}
		if generation == 1 {
			if err := ctx.WaitForSingleEvent("go", -1).Await(nil); err != nil {
				return nil, err
			}
			ctx.ContinueAsNew(2)
			return nil, nil
		}
		err = ctx.WaitForSingleEvent("noise", 200*time.Millisecond).Await(nil)
		return errors.Is(err, task.ErrTaskCanceled), nil
	}}, nil)
	s.completes(id, true)
}
