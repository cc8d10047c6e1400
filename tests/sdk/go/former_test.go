package sdk

import (
	"testing"
	"time"

	"github.com/microsoft/durabletask-go/api"
	"github.com/microsoft/durabletask-go/task"
)

// The package names no completion tokens: what it answers to a former execution must not be taken for an answer to the
// present one, which has the same instance id and the same numbers.

// former is a function that blocks in the former execution and, once that is over, answers in the present one.
type former struct {
	begun, release chan bool
}

func newFormer() *former { return &former{make(chan bool, 2), make(chan bool)} }

func (f *former) run(name string) string {
	if name == "former" {
		f.begun <- true
		<-f.release
	}
	return name
}

// late lets the former execution answer after the present one has had time to.
func (f *former) late() {
	time.AfterFunc(500*time.Millisecond, func() { close(f.release) })
}

func (f *former) activity(ctx task.ActivityContext) (any, error) {
	name, err := input[string](ctx)
	return f.run(name), err
}

func calls(ctx *task.OrchestrationContext) (any, error) {
	name, err := input[string](ctx)
	if err == nil {
		err = ctx.CallActivity("Activity", task.WithActivityInput(name)).Await(&name)
	}
	return name, err
}

var replace = api.WithOrchestrationIdReusePolicy(&api.OrchestrationIdReusePolicy{
	Action:          api.REUSE_ID_ACTION_TERMINATE,
	OperationStatus: []api.OrchestrationStatus{running, pending},
})

func TestFormerActivityReplaced(t *testing.T) {
	s, f := enter(t), newFormer()
	s.work(orchestrators{"Calls": calls}, activities{"Activity": f.activity})
	s.start("Calls", id("it"), api.WithInput("former"))
	<-f.begun
	s.start("Calls", id("it"), api.WithInput("present"), replace)
	f.late()
	s.completes("it", "present")
}

func TestFormerActivityContinuedAsNew(t *testing.T) {
	s, f := enter(t), newFormer()
	s.work(orchestrators{"Calls": func(ctx *task.OrchestrationContext) (any, error) {
		name, err := input[string](ctx)
		if err != nil || name != "former" {
			return calls(ctx)
		}
		ctx.CallActivity("Activity", task.WithActivityInput(name))
		err = ctx.WaitForSingleEvent("go", -1).Await(nil)
		ctx.ContinueAsNew("present")
		return nil, err
	}}, activities{"Activity": f.activity})
	it := s.start("Calls", api.WithInput("former"))
	<-f.begun
	s.raise(it, "go", nil)
	f.late()
	s.completes(it, "present")
}

func TestFormerTurnReplaced(t *testing.T) {
	s, f := enter(t), newFormer()
	s.work(orchestrators{"Turns": func(ctx *task.OrchestrationContext) (any, error) {
		name, err := input[string](ctx)
		return f.run(name), err
	}}, nil)
	s.start("Turns", id("it"), api.WithInput("former"))
	<-f.begun
	s.start("Turns", id("it"), api.WithInput("present"), replace)
	f.late()
	s.completes("it", "present")
}

// What waits for a worker's answer to a former execution, another worker gets when that one has gone.
func TestFormerWorkerLeaves(t *testing.T) {
	s, f := enter(t), newFormer()
	turns := orchestrators{"Turns": func(ctx *task.OrchestrationContext) (any, error) {
		name, err := input[string](ctx)
		return f.run(name), err
	}}
	leave := s.work(turns, nil)
	s.start("Turns", id("it"), api.WithInput("former"))
	<-f.begun
	s.start("Turns", id("it"), api.WithInput("present"), replace)
	s.work(turns, nil)
	s.completes(s.start("Turns", api.WithInput("another")), "another")
	is(s, "what waits for the former one", s.look("it").RuntimeStatus, pending)
	leave()
	s.completes("it", "present")
	close(f.release)
}
