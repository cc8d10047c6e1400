package sdk

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/microsoft/durabletask-go/api"
	"github.com/microsoft/durabletask-go/client"
	"github.com/microsoft/durabletask-go/task"
)

const (
	inFlight      = 50
	activityCalls = 5
)

// Activities in a row, each of which says where it is, with a timer after each.
func steps(step func(n int)) (orchestrators, activities) {
	return orchestrators{"Steps": func(ctx *task.OrchestrationContext) (any, error) {
			n, err := input[int](ctx)
			for step := 0; step < activityCalls && err == nil; step++ {
				if err = ctx.CallActivity("Step", task.WithActivityInput(n)).Await(&n); err == nil {
					err = ctx.CreateTimer(50 * time.Millisecond).Await(nil)
				}
			}
			return n, err
		}}, activities{"Step": func(ctx task.ActivityContext) (any, error) {
			n, err := input[int](ctx)
			time.Sleep(20 * time.Millisecond)
			step(n)
			return n + 100, err
		}}
}

// work is what a process of its own does that is to be killed.
func work(address, hub string) {
	connection := dial(nil, address, hub, &lens{})
	worker := client.NewTaskHubGrpcClient(connection, quiet{})
	if err := worker.StartWorkItemListener(context.Background(), registry(steps(func(n int) { fmt.Println(n) }))); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	select {}
}

func (s *stage) startSteps() (ids []api.InstanceID) {
	for n := 0; n < inFlight; n++ {
		ids = append(ids, s.start("Steps", api.WithInput(n)))
	}
	return ids
}

func (s *stage) endSteps(ids []api.InstanceID) {
	s.Helper()
	for n, id := range ids {
		s.completes(id, n+100*activityCalls)
	}
}

// open is how many have not ended.
func (s *stage) open(ids []api.InstanceID) (open int) {
	for _, id := range ids {
		if s.look(id).IsRunning() {
			open++
		}
	}
	return open
}

// process starts one, and hands out the lines that it says.
func process(t *testing.T, say func(*exec.Cmd) (*bufio.Scanner, error), name string, args ...string) (*exec.Cmd, <-chan string) {
	command := exec.Command(name, args...)
	lines, err := say(command)
	if err == nil {
		err = command.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { kill(command) })
	said := make(chan string, 10_000)
	go func() {
		defer close(said)
		for lines.Scan() {
			said <- lines.Text()
		}
	}()
	return command, said
}

// kill leaves a process no time for anything.
func kill(command *exec.Cmd) {
	if command.ProcessState == nil {
		command.Process.Kill()
		command.Wait()
	}
}

func stdout(command *exec.Cmd) (*bufio.Scanner, error) {
	pipe, err := command.StdoutPipe()
	return bufio.NewScanner(pipe), err
}

func stderr(command *exec.Cmd) (*bufio.Scanner, error) {
	pipe, err := command.StderrPipe()
	return bufio.NewScanner(pipe), err
}

func TestWorkerKilled(t *testing.T) {
	s := enter(t)
	worker := func() (*exec.Cmd, <-chan string) {
		return process(t, stdout, os.Args[0], "worker", os.Getenv("SOLOIST_SERVER"), strings.ToLower(t.Name()))
	}
	first, said := worker()
	ids := s.startSteps()
	for n := 0; n < inFlight/2; n++ {
		if _, ok := <-said; !ok {
			t.Fatal("the worker has ended")
		}
	}
	kill(first)
	open := s.open(ids)
	if open == 0 {
		t.Fatal("the worker was killed too late")
	}
	t.Logf("%d of %d had not ended", open, inFlight)
	worker()
	s.endSteps(ids)
}

func TestServerKilled(t *testing.T) {
	folder := t.TempDir()
	first, address := serve(t, folder, "127.0.0.1:0")
	s := enterAt(t, address, "")
	done := make(chan int, 10_000)
	s.work(steps(func(n int) { done <- n }))
	ids := s.startSteps()
	for n := 0; n < inFlight/2; n++ {
		<-done
	}
	kill(first)
	begun := inFlight/2 + len(done)
	if begun >= activityCalls*inFlight {
		t.Fatal("the server was killed too late")
	}
	t.Logf("%d of %d activities had begun", begun, activityCalls*inFlight)
	serve(t, folder, address)
	// The connection comes back by itself.
	s.endSteps(ids)
}

var ready = regexp.MustCompile(`"ready".*"address":"([^"]*)"|"address":"([^"]*)".*"ready"`)

func serve(t *testing.T, folder, listen string) (*exec.Cmd, string) {
	t.Helper()
	server, said := process(t, stderr, os.Getenv("SOLOIST"), "serve", "--listen", listen,
		"--data-dir", filepath.Join(folder, "data"), "--log-format", "json")
	for line := range said {
		if found := ready.FindStringSubmatch(line); found != nil {
			return server, found[1] + found[2]
		}
	}
	t.Fatal("the server did not start")
	return nil, ""
}
