package sdk

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/microsoft/durabletask-go/api"
	"github.com/microsoft/durabletask-go/task"
)

// largest is the largest payload that run.sh's server takes: 3 MiB with its quotes.
const largest = 3<<20 - 2

func large() string { return strings.Repeat("x", largest) }

func TestPayloads(t *testing.T) {
	s := enter(t)
	s.work(orchestrators{
		"TakesInput": func(ctx *task.OrchestrationContext) (any, error) {
			text, err := input[string](ctx)
			return len(text), err
		},
		"Gives": func(ctx *task.OrchestrationContext) (any, error) { return large(), nil },
		"TakesResult": func(ctx *task.OrchestrationContext) (any, error) {
			var text string
			err := ctx.CallActivity("Gives").Await(&text)
			return len(text), err
		},
		"GivesInput": func(ctx *task.OrchestrationContext) (any, error) {
			var length int
			err := ctx.CallActivity("Takes", task.WithActivityInput(large())).Await(&length)
			return length, err
		},
		"TakesEvent": func(ctx *task.OrchestrationContext) (any, error) {
			var text string
			err := ctx.WaitForSingleEvent("text", -1).Await(&text)
			return len(text), err
		},
		"Family": func(ctx *task.OrchestrationContext) (any, error) {
			var text string
			err := ctx.CallSubOrchestrator("Gives").Await(&text)
			return len(text), err
		},
		"TakesTwo": func(ctx *task.OrchestrationContext) (any, error) {
			for n := 0; n < 2; n++ {
				if err := ctx.CallActivity("Gives").Await(nil); err != nil {
					return nil, err
				}
			}
			return nil, nil
		},
	}, activities{
		"Gives": func(task.ActivityContext) (any, error) { return large(), nil },
		"Takes": func(ctx task.ActivityContext) (any, error) {
			text, err := input[string](ctx)
			return len(text), err
		},
	})
	for _, name := range []string{"TakesResult", "GivesInput", "Family"} {
		s.completes(s.start(name), largest)
	}
	s.completes(s.start("TakesInput", api.WithInput(large())), largest)
	s.completes(s.start("Gives"), large())
	id := s.start("TakesEvent")
	s.raise(id, "text", large())
	s.completes(id, largest)
	_, err := s.ScheduleNewOrchestration(s.ctx, "TakesInput", api.WithInput(large()+"x"))
	s.fails(err, "InvalidArgument")
	// The package's worker takes messages of up to 4 MiB: what no worker can be told ends, and says why.
	id = s.start("TakesTwo")
	is(s, "the end of a history that is too large", s.ends(id).RuntimeStatus, failed)
	is(s, "why", s.failure(id).ErrorType, "HistoryTooLarge")
}

func TestManyAtOnce(t *testing.T) {
	s := enter(t)
	s.work(orchestrators{"Chain": func(ctx *task.OrchestrationContext) (any, error) {
		n, err := input[int](ctx)
		for step := 0; step < 2 && err == nil; step++ {
			err = ctx.CallActivity("Double", task.WithActivityInput(n)).Await(&n)
		}
		return n, err
	}}, activities{"Double": func(ctx task.ActivityContext) (any, error) {
		n, err := input[int](ctx)
		return 2 * n, err
	}})
	const count = 200
	errors := make(chan error, count)
	var all sync.WaitGroup
	for n := 0; n < count; n++ {
		all.Add(1)
		go func(n int) {
			defer all.Done()
			id, err := s.ScheduleNewOrchestration(s.ctx, "Chain", api.WithInput(n))
			if err != nil {
				errors <- err
				return
			}
			state, err := s.WaitForOrchestrationCompletion(s.ctx, id)
			if err == nil && state.SerializedOutput != fmt.Sprint(4*n) {
				err = fmt.Errorf("%d became %v", n, state)
			}
			if err != nil {
				errors <- err
			}
		}(n)
	}
	all.Wait()
	close(errors)
	for err := range errors {
		t.Error(err)
	}
}
