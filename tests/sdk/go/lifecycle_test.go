package sdk

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/microsoft/durabletask-go/api"
	"github.com/microsoft/durabletask-go/task"
)

// waits goes on until it hears of it.
func waits(ctx *task.OrchestrationContext) (any, error) {
	return "done", ctx.WaitForSingleEvent("go", -1).Await(nil)
}

func TestPendingStates(t *testing.T) {
	s := enter(t)
	first, second, third := s.start("Waits"), s.start("Waits"), s.start("Waits")
	for _, id := range []api.InstanceID{first, second} {
		is(s, "the status", s.look(id).RuntimeStatus, pending)
		s.must(s.ResumeOrchestration(s.ctx, id, "nothing to resume"))
		is(s, "the status", s.look(id).RuntimeStatus, pending)
		s.must(s.SuspendOrchestration(s.ctx, id, ""))
		s.must(s.SuspendOrchestration(s.ctx, id, "again"))
		is(s, "the status", s.look(id).RuntimeStatus, suspended)
	}
	s.must(s.TerminateOrchestration(s.ctx, first, api.WithOutput("enough")))
	is(s, "the output of the suspended one", s.ends(first).SerializedOutput, `"enough"`)
	s.must(s.ResumeOrchestration(s.ctx, second, ""))
	is(s, "the status", s.look(second).RuntimeStatus, pending)
	s.must(s.TerminateOrchestration(s.ctx, third))
	is(s, "the status", s.look(third).RuntimeStatus, terminated)
	is(s, "the output", s.look(third).SerializedOutput, "")
	s.work(orchestrators{"Waits": waits}, nil)
	s.raise(second, "go", nil)
	s.completes(second, "done")
	is(s, "the one that never began", s.look(third).RuntimeStatus, terminated)
}

// Its first turn tells of the suspension that it was in.
func TestSuspendedAtFirstTurn(t *testing.T) {
	s := enter(t)
	id := s.start("Waits")
	s.must(s.SuspendOrchestration(s.ctx, id, ""))
	s.raise(id, "go", nil)
	s.work(orchestrators{"Waits": waits}, nil)
	other := s.start("Waits")
	s.until(other, running)
	is(s, "the suspended one", s.look(id).RuntimeStatus, suspended)
	s.must(s.ResumeOrchestration(s.ctx, id, ""))
	s.completes(id, "done")
}

func TestRunningStates(t *testing.T) {
	s := enter(t)
	s.work(orchestrators{"Waits": waits}, nil)
	first, second := s.start("Waits"), s.start("Waits")
	for _, id := range []api.InstanceID{first, second} {
		s.until(id, running)
		s.must(s.ResumeOrchestration(s.ctx, id, "nothing to resume"))
		for round := 0; round < 3; round++ {
			s.must(s.SuspendOrchestration(s.ctx, id, "a"))
			s.must(s.SuspendOrchestration(s.ctx, id, "b"))
			is(s, "the status", s.look(id).RuntimeStatus, suspended)
			s.must(s.ResumeOrchestration(s.ctx, id, "c"))
			s.must(s.ResumeOrchestration(s.ctx, id, "d"))
			is(s, "the status", s.look(id).RuntimeStatus, running)
		}
	}
	s.raise(first, "go", nil)
	s.completes(first, "done")
	s.must(s.TerminateOrchestration(s.ctx, second, api.WithRawOutput(`{"why":"enough"}`)))
	state := s.ends(second)
	is(s, "the status", state.RuntimeStatus, terminated)
	is(s, "the output", state.SerializedOutput, `{"why":"enough"}`)
	for id, status := range map[api.InstanceID]api.OrchestrationStatus{first: completed, second: terminated} {
		s.must(s.SuspendOrchestration(s.ctx, id, "late"))
		s.must(s.ResumeOrchestration(s.ctx, id, "late"))
		s.must(s.TerminateOrchestration(s.ctx, id, api.WithOutput("late")))
		s.raise(id, "go", "late")
		state := s.look(id)
		is(s, "the status", state.RuntimeStatus, status)
		if state.SerializedOutput == `"late"` {
			t.Fatal("what had ended ended again")
		}
	}
	s.must(s.TerminateOrchestration(s.ctx, "nobody"))
}

// While an activity runs, an orchestration ends all the same; its worker's result is of no use any more.
func TestTerminateWhileActivityRuns(t *testing.T) {
	s := enter(t)
	begun, release := make(chan bool, 1), make(chan bool)
	s.work(orchestrators{"Calls": func(ctx *task.OrchestrationContext) (any, error) {
		return "late", ctx.CallActivity("Blocks").Await(nil)
	}}, activities{"Blocks": func(task.ActivityContext) (any, error) {
		begun <- true
		<-release
		return nil, nil
	}})
	id := s.start("Calls")
	<-begun
	s.must(s.TerminateOrchestration(s.ctx, id, api.WithOutput("enough")))
	is(s, "the output", s.ends(id).SerializedOutput, `"enough"`)
	close(release)
	s.completes(s.start("Calls"), "late")
	is(s, "the output", s.look(id).SerializedOutput, `"enough"`)
}

func family() orchestrators {
	return orchestrators{
		// Its child ends without waiting for its own.
		"Root": func(ctx *task.OrchestrationContext) (any, error) {
			ctx.CallSubOrchestrator("Hasty", task.WithSubOrchestrationInstanceID(string(ctx.ID)+".hasty"))
			ctx.CallSubOrchestrator("Waits", task.WithSubOrchestrationInstanceID(string(ctx.ID)+".patient"))
			return waits(ctx)
		},
		"Hasty": func(ctx *task.OrchestrationContext) (any, error) {
			ctx.CallSubOrchestrator("Waits", task.WithSubOrchestrationInstanceID(string(ctx.ID)+".below"))
			return "hasty", nil
		},
		"Waits": waits,
	}
}

func TestTerminateFamily(t *testing.T) {
	s := enter(t)
	s.work(family(), nil)
	start := func(name string) {
		s.start("Root", id(name))
		s.until(api.InstanceID(name+".hasty"), completed)
		s.until(api.InstanceID(name+".hasty.below"), running)
		s.until(api.InstanceID(name+".patient"), running)
	}
	start("all")
	s.must(s.TerminateOrchestration(s.ctx, "all", api.WithOutput("enough")))
	for _, id := range []api.InstanceID{"all", "all.patient", "all.hasty.below"} {
		state := s.ends(id)
		is(s, string(id), state.RuntimeStatus, terminated)
		is(s, "its output", state.SerializedOutput, `"enough"`)
	}
	is(s, "the hasty one", s.look("all.hasty").SerializedOutput, `"hasty"`)

	start("one")
	s.must(s.TerminateOrchestration(s.ctx, "one", api.WithRecursiveTerminate(false)))
	is(s, "the root", s.ends("one").RuntimeStatus, terminated)
	for _, id := range []api.InstanceID{"one.patient", "one.hasty.below"} {
		is(s, string(id), s.look(id).RuntimeStatus, running)
		s.raise(id, "go", nil)
		s.completes(id, "done")
	}
}

func TestTerminateChild(t *testing.T) {
	s := enter(t)
	s.work(orchestrators{
		"Parent": func(ctx *task.OrchestrationContext) (any, error) {
			err := ctx.CallSubOrchestrator("Waits", task.WithSubOrchestrationInstanceID("child")).Await(nil)
			return err != nil, nil
		},
		"Waits": waits,
	}, nil)
	parent := s.start("Parent")
	s.until("child", running)
	s.must(s.TerminateOrchestration(s.ctx, "child"))
	s.completes(parent, true)
}

func TestPurge(t *testing.T) {
	s := enter(t)
	s.work(family(), nil)
	grow := func(name string) {
		s.start("Root", id(name))
		s.until(api.InstanceID(name+".hasty"), completed)
		for _, id := range []string{name + ".hasty.below", name + ".patient", name} {
			s.until(api.InstanceID(id), running)
			s.raise(api.InstanceID(id), "go", nil)
			s.completes(api.InstanceID(id), "done")
		}
	}
	grow("all")
	s.must(s.PurgeOrchestrationState(s.ctx, "all", api.WithRecursivePurge(true)))
	for _, id := range []api.InstanceID{"all", "all.patient", "all.hasty", "all.hasty.below"} {
		s.gone(id)
	}
	grow("one")
	s.must(s.PurgeOrchestrationState(s.ctx, "one"))
	s.gone("one")
	for _, id := range []api.InstanceID{"one.patient", "one.hasty", "one.hasty.below"} {
		is(s, string(id), s.look(id).RuntimeStatus, completed)
	}
	if err := s.PurgeOrchestrationState(s.ctx, "one"); !errors.Is(err, api.ErrInstanceNotFound) {
		t.Fatalf("purged twice: %v", err)
	}
	live := s.start("Waits")
	s.until(live, running)
	if err := s.PurgeOrchestrationState(s.ctx, live); !errors.Is(err, api.ErrInstanceNotFound) {
		t.Fatalf("purged alive: %v", err)
	}
	is(s, "the live one", s.look(live).RuntimeStatus, running)
	// Its id is free.
	s.start("Waits", id("one"))
	s.raise("one", "go", nil)
	s.completes("one", "done")
}

func TestWaits(t *testing.T) {
	s := enter(t)
	soon := func() (context.Context, context.CancelFunc) { return context.WithTimeout(s.ctx, 300*time.Millisecond) }
	expects := func(err error) {
		t.Helper()
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("%v instead of a time-out", err)
		}
	}
	id := s.start("Waits")
	ctx, cancel := soon()
	_, err := s.WaitForOrchestrationStart(ctx, id)
	cancel()
	expects(err)
	is(s, "the status", s.look(id).RuntimeStatus, pending)
	ctx, cancel = soon()
	_, err = s.WaitForOrchestrationCompletion(ctx, id)
	cancel()
	expects(err)
	ctx, cancel = soon()
	_, err = s.WaitForOrchestrationStart(ctx, "later")
	cancel()
	expects(err)

	ended := make(chan string, 1)
	go func() {
		state, err := s.WaitForOrchestrationCompletion(s.ctx, "later")
		ended <- fmt.Sprint(state, err)
	}()
	s.work(orchestrators{"Waits": waits}, nil)
	state, err := s.WaitForOrchestrationStart(s.ctx, id)
	s.must(err)
	is(s, "the status after the start", state.RuntimeStatus, running)
	s.start("Waits", api.WithInstanceID("later"))
	s.raise("later", "go", nil)
	select {
	case <-ended:
		is(s, "what was waited for", s.look("later").RuntimeStatus, completed)
	case <-time.After(patience):
		t.Fatal("nobody told who waited")
	}
}

func TestReusePolicies(t *testing.T) {
	s := enter(t)
	s.work(orchestrators{"Echo": func(ctx *task.OrchestrationContext) (any, error) {
		said, err := input[string](ctx)
		if err == nil {
			err = ctx.WaitForSingleEvent("go", -1).Await(nil)
		}
		return said, err
	}}, nil)
	policy := func(action api.CreateOrchestrationAction, statuses ...api.OrchestrationStatus) api.NewOrchestrationOptions {
		return api.WithOrchestrationIdReusePolicy(&api.OrchestrationIdReusePolicy{Action: action, OperationStatus: statuses})
	}
	again := func(name api.InstanceID, said string, opts ...api.NewOrchestrationOptions) error {
		opts = append(opts, api.WithInstanceID(name), api.WithInput(said))
		got, err := s.ScheduleNewOrchestration(s.ctx, "Echo", opts...)
		if err == nil {
			is(s, "the id", got, name)
		}
		return err
	}
	finish := func(name api.InstanceID, said string) {
		t.Helper()
		s.raise(name, "go", nil)
		s.completes(name, said)
	}
	const taken = "orchestration instance already exists"
	ignore, replace := api.REUSE_ID_ACTION_IGNORE, api.REUSE_ID_ACTION_TERMINATE

	s.must(again("ignored", "first"))
	s.until("ignored", running)
	created := s.look("ignored").CreatedAt
	s.fails(again("ignored", "second"), taken)
	s.fails(again("ignored", "second", policy(ignore, completed)), taken)
	s.fails(again("ignored", "second", policy(replace, completed, failed)), taken)
	s.must(again("ignored", "second", policy(ignore, running, completed, pending)))
	finish("ignored", "first")
	s.must(again("ignored", "second", policy(ignore, completed)))
	s.fails(again("ignored", "second", policy(ignore, running)), taken)
	is(s, "the one that stays", s.look("ignored").SerializedOutput, `"first"`)
	is(s, "when it was created", s.look("ignored").CreatedAt, created)

	s.must(again("replaced", "first"))
	s.until("replaced", running)
	created = s.look("replaced").CreatedAt
	s.must(again("replaced", "second", policy(replace, running, completed, pending)))
	s.until("replaced", running)
	finish("replaced", "second")
	if !s.look("replaced").CreatedAt.After(created) {
		t.Fatal("nothing was created")
	}
	s.fails(again("replaced", "third", policy(replace, running)), taken)
	s.must(again("replaced", "third", policy(replace, completed)))
	finish("replaced", "third")

	// What ends is replaced without being asked for; an error is what was asked for.
	s.must(again("replaced", "fourth"))
	s.fails(again("replaced", "fifth", policy(api.REUSE_ID_ACTION_ERROR)), taken)
	finish("replaced", "fourth")
	s.fails(again("replaced", "fifth", policy(api.REUSE_ID_ACTION_ERROR)), taken)
}

// A worker that went away in the middle of a turn: the turn is another's.
func TestWorkerLeaves(t *testing.T) {
	s := enter(t)
	entered := make(chan bool, 2)
	var first atomic.Bool
	slow := orchestrators{"Slow": func(ctx *task.OrchestrationContext) (any, error) {
		if first.CompareAndSwap(false, true) {
			entered <- true
			time.Sleep(500 * time.Millisecond)
		}
		return 42, nil
	}}
	leave := s.work(slow, nil)
	id := s.start("Slow")
	<-entered
	leave()
	is(s, "the status", s.look(id).RuntimeStatus, pending)
	s.work(slow, nil)
	s.completes(id, 42)
}
