// Package sdk holds stories of programs that use the published Go package of Durable Task, its client and its worker,
// with a real server. run.sh starts the server and runs them.
package sdk

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/microsoft/durabletask-go/api"
	"github.com/microsoft/durabletask-go/client"
	"github.com/microsoft/durabletask-go/task"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
)

// patience bounds every wait.
const patience = 20 * time.Second

const (
	pending    = api.RUNTIME_STATUS_PENDING
	running    = api.RUNTIME_STATUS_RUNNING
	suspended  = api.RUNTIME_STATUS_SUSPENDED
	completed  = api.RUNTIME_STATUS_COMPLETED
	failed     = api.RUNTIME_STATUS_FAILED
	terminated = api.RUNTIME_STATUS_TERMINATED
)

func TestMain(m *testing.M) {
	// The package logs what goes well, too.
	log.SetOutput(io.Discard)
	if len(os.Args) == 4 && os.Args[1] == "worker" {
		work(os.Args[2], os.Args[3])
		return
	}
	if os.Getenv("SOLOIST_SERVER") == "" {
		fmt.Fprintln(os.Stderr, "SOLOIST_SERVER must name a server: see run.sh")
		os.Exit(2)
	}
	os.Exit(m.Run())
}

// stage is one story's client, in a task hub of its own.
type stage struct {
	*testing.T
	*client.TaskHubGrpcClient
	ctx  context.Context
	seen *lens
}

// lens keeps the newest answer, since the client does not show all of it.
type lens struct{ answer proto.Message }

func enter(t *testing.T) *stage {
	return enterAt(t, os.Getenv("SOLOIST_SERVER"), strings.ToLower(t.Name()))
}

func enterAt(t *testing.T, address, hub string) *stage {
	seen := &lens{}
	connection := dial(t, address, hub, seen)
	t.Cleanup(func() { connection.Close() })
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(cancel)
	return &stage{t, client.NewTaskHubGrpcClient(connection, quiet{}), ctx, seen}
}

// dial connects to a task hub; to the default one if it has no name.
func dial(t *testing.T, address, hub string, seen *lens) *grpc.ClientConn {
	named := func(ctx context.Context) context.Context {
		if hub == "" {
			return ctx
		}
		return metadata.AppendToOutgoingContext(ctx, "taskhub", hub)
	}
	unary := func(ctx context.Context, method string, ask, answer any, on *grpc.ClientConn, call grpc.UnaryInvoker, opts ...grpc.CallOption) error {
		err := call(named(ctx), method, ask, answer, on, opts...)
		if strings.HasSuffix(method, "/GetInstance") {
			seen.answer = answer.(proto.Message)
		}
		return err
	}
	stream := func(ctx context.Context, desc *grpc.StreamDesc, on *grpc.ClientConn, method string, open grpc.Streamer, opts ...grpc.CallOption) (grpc.ClientStream, error) {
		return open(named(ctx), desc, on, method, opts...)
	}
	connection, err := grpc.Dial(address,
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithUnaryInterceptor(unary),
		grpc.WithStreamInterceptor(stream))
	if err != nil {
		t.Fatal(err)
	}
	return connection
}

type (
	orchestrators map[string]task.Orchestrator
	activities    map[string]task.Activity
)

func registry(o orchestrators, a activities) *task.TaskRegistry {
	r := task.NewTaskRegistry()
	for name, function := range o {
		if err := r.AddOrchestratorN(name, function); err != nil {
			panic(err)
		}
	}
	for name, function := range a {
		if err := r.AddActivityN(name, function); err != nil {
			panic(err)
		}
	}
	return r
}

// work starts a worker; it ends with the story, or when its end is called for.
func (s *stage) work(o orchestrators, a activities) (end func()) {
	s.Helper()
	ctx, cancel := context.WithCancel(s.ctx)
	s.must(s.StartWorkItemListener(ctx, registry(o, a)))
	return cancel
}

func (s *stage) must(err error) {
	s.Helper()
	if err != nil {
		s.Fatal(err)
	}
}

// must that what was asked for is what was got.
func is[V comparable](s *stage, what string, got, wanted V) {
	s.Helper()
	if got != wanted {
		s.Fatalf("%s is %v, not %v", what, got, wanted)
	}
}

func (s *stage) fails(err error, text string) {
	s.Helper()
	if err == nil || !strings.Contains(err.Error(), text) {
		s.Fatalf("%v is not the error %q", err, text)
	}
}

func (s *stage) start(name string, opts ...api.NewOrchestrationOptions) api.InstanceID {
	s.Helper()
	id, err := s.ScheduleNewOrchestration(s.ctx, name, opts...)
	s.must(err)
	return id
}

func id(name string) api.NewOrchestrationOptions { return api.WithInstanceID(api.InstanceID(name)) }

func (s *stage) look(id api.InstanceID) *api.OrchestrationMetadata {
	s.Helper()
	state, err := s.FetchOrchestrationMetadata(s.ctx, id)
	s.must(err)
	return state
}

// ends waits for the end, whatever it is.
func (s *stage) ends(id api.InstanceID) *api.OrchestrationMetadata {
	s.Helper()
	ctx, cancel := context.WithTimeout(s.ctx, patience)
	defer cancel()
	state, err := s.WaitForOrchestrationCompletion(ctx, id)
	s.must(err)
	return state
}

// completes waits for a good end with this output.
func (s *stage) completes(id api.InstanceID, output any) {
	s.Helper()
	state := s.ends(id)
	if state.RuntimeStatus != completed {
		s.Fatalf("%s is %v: %v", id, state.RuntimeStatus, s.failure(id))
	}
	wanted, err := json.Marshal(output)
	s.must(err)
	is(s, "the output of "+string(id), state.SerializedOutput, string(wanted))
}

// until waits until an instance is seen in a status.
func (s *stage) until(id api.InstanceID, status api.OrchestrationStatus) *api.OrchestrationMetadata {
	s.Helper()
	return s.sees(id, fmt.Sprint(status), func(state *api.OrchestrationMetadata) bool { return state.RuntimeStatus == status })
}

func (s *stage) says(id api.InstanceID, customStatus string) {
	s.Helper()
	s.sees(id, "with custom status "+customStatus, func(state *api.OrchestrationMetadata) bool {
		return state.SerializedCustomStatus == customStatus
	})
}

func (s *stage) sees(id api.InstanceID, what string, wanted func(*api.OrchestrationMetadata) bool) *api.OrchestrationMetadata {
	s.Helper()
	var last *api.OrchestrationMetadata
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		state, err := s.FetchOrchestrationMetadata(s.ctx, id)
		if err == nil && wanted(state) {
			return state
		}
		if err != nil && !errors.Is(err, api.ErrInstanceNotFound) {
			s.Fatal(err)
		}
		last = state
	}
	s.Fatalf("%s is never seen %s but %+v", id, what, last)
	return nil
}

type failure struct {
	ErrorType    string
	ErrorMessage string
	InnerFailure *failure
}

// failure is why an instance failed, which the client does not tell.
func (s *stage) failure(id api.InstanceID) failure {
	s.Helper()
	s.look(id)
	text, err := protojson.Marshal(s.seen.answer)
	s.must(err)
	var answer struct {
		OrchestrationState struct{ FailureDetails failure }
	}
	s.must(json.Unmarshal(text, &answer))
	return answer.OrchestrationState.FailureDetails
}

func (s *stage) raise(id api.InstanceID, name string, payload any) {
	s.Helper()
	s.must(s.RaiseEvent(s.ctx, id, name, api.WithEventPayload(payload)))
}

// gone tells that nothing is left of an instance.
func (s *stage) gone(id api.InstanceID) {
	s.Helper()
	if _, err := s.FetchOrchestrationMetadata(s.ctx, id); !errors.Is(err, api.ErrInstanceNotFound) {
		s.Fatalf("%s is still there: %v", id, err)
	}
}

func input[V any](ctx interface{ GetInput(any) error }) (value V, err error) {
	err = ctx.GetInput(&value)
	return value, err
}

// quiet logs nothing: what matters, a story sees.
type quiet struct{}

func (quiet) Debug(...any)          {}
func (quiet) Debugf(string, ...any) {}
func (quiet) Info(...any)           {}
func (quiet) Infof(string, ...any)  {}
func (quiet) Warn(...any)           {}
func (quiet) Warnf(string, ...any)  {}
func (quiet) Error(...any)          {}
func (quiet) Errorf(string, ...any) {}
