package main

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log"
	"math/rand"
	"net"
	"net/http"
	"net/url"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	soloist "soloist/examples/singleton/stubs/soloist/v1"
)

const (
	// What the server takes at most, if it is told to.
	bodyBytesMax = 3 << 20
	callTime     = 30 * time.Second
)

// How long to wait before each further attempt of a start, give or take a half.
var waits = []time.Duration{100 * time.Millisecond, 400 * time.Millisecond, 1600 * time.Millisecond, 6400 * time.Millisecond}

// starter answers POST /orchestrators/{functionName}/{instanceId}.
type starter struct {
	soloist soloist.OrchestrationServiceClient
	// The server's URL.
	server string
}

// checkStatus is where the instance is read and controlled: at the Soloist server, by the URLs that Durable Functions has.
type checkStatus struct {
	ID                    string `json:"id"`
	StatusQueryGetURI     string `json:"statusQueryGetUri"`
	SendEventPostURI      string `json:"sendEventPostUri"`
	TerminatePostURI      string `json:"terminatePostUri"`
	PurgeHistoryDeleteURI string `json:"purgeHistoryDeleteUri"`
	RestartPostURI        string `json:"restartPostUri"`
	SuspendPostURI        string `json:"suspendPostUri"`
	ResumePostURI         string `json:"resumePostUri"`
}

func front(ctx context.Context, connection *grpc.ClientConn, server, port string) error {
	mux := http.NewServeMux()
	mux.Handle("POST /orchestrators/{functionName}/{instanceId}",
		starter{soloist.NewOrchestrationServiceClient(connection), server})
	serving := &http.Server{Addr: net.JoinHostPort("127.0.0.1", port), Handler: mux}
	context.AfterFunc(ctx, func() { serving.Close() })
	log.Printf("http://%s/orchestrators/{functionName}/{instanceId}", serving.Addr)
	return serving.ListenAndServe()
}

func (s starter) ServeHTTP(answer http.ResponseWriter, request *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(answer, request.Body, bodyBytesMax))
	if tooLarge := new(http.MaxBytesError); errors.As(err, &tooLarge) {
		http.Error(answer, "The body is too large.", http.StatusRequestEntityTooLarge)
		return
	}
	if err != nil || len(body) > 0 && !(utf8.Valid(body) && json.Valid(body)) {
		http.Error(answer, "The body is no JSON.", http.StatusBadRequest)
		return
	}
	start := &soloist.StartSingletonRequest{
		FunctionName: request.PathValue("functionName"),
		InstanceId:   request.PathValue("instanceId"),
	}
	if input := string(body); input != "" {
		start.Input = &input
	}
	if err := s.start(request.Context(), start); err != nil {
		refuse(answer, status.Convert(err))
		return
	}
	payload := s.links(start.InstanceId)
	answer.Header().Set("Content-Type", "application/json")
	answer.Header().Set("Location", payload.StatusQueryGetURI)
	answer.Header().Set("Retry-After", "10")
	answer.WriteHeader(http.StatusAccepted)
	write := json.NewEncoder(answer)
	// `&` stays `&`.
	write.SetEscapeHTML(false)
	write.Encode(payload)
}

// start checks and starts in one step: of any number of callers at the same moment, one is told that it has started it.
func (s starter) start(ctx context.Context, request *soloist.StartSingletonRequest) error {
	// The same in every attempt, so that none of them starts a second one.
	request.RequestId = uuid.NewString()
	for attempt := 0; ; attempt++ {
		err := s.attempt(ctx, request)
		// Without an answer, it may have been accepted.
		unanswered := status.Code(err) == codes.Unavailable || status.Code(err) == codes.Unknown
		if err == nil || !unanswered || attempt == len(waits) {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(time.Duration((0.5 + rand.Float64()) * float64(waits[attempt]))):
		}
	}
}

func (s starter) attempt(ctx context.Context, request *soloist.StartSingletonRequest) error {
	ctx, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	_, err := s.soloist.StartSingleton(ctx, request)
	return err
}

// refuse says why. A live instance is 409: "An instance with ID 'nightly' already exists."
func refuse(answer http.ResponseWriter, why *status.Status) {
	code := http.StatusInternalServerError
	switch why.Code() {
	case codes.AlreadyExists:
		code = http.StatusConflict
	case codes.InvalidArgument:
		code = http.StatusBadRequest
	case codes.Unavailable:
		code = http.StatusServiceUnavailable
	}
	answer.Header().Set("Content-Type", "text/plain; charset=utf-8")
	answer.WriteHeader(code)
	io.WriteString(answer, why.Message())
}

func (s starter) links(id string) checkStatus {
	instance := s.server + "/runtime/webhooks/durabletask/instances/" + url.PathEscape(id)
	return checkStatus{
		ID:                    id,
		StatusQueryGetURI:     instance + "?taskHub=default",
		SendEventPostURI:      instance + "/raiseEvent/{eventName}?taskHub=default",
		TerminatePostURI:      instance + "/terminate?reason={text}&taskHub=default",
		PurgeHistoryDeleteURI: instance + "?taskHub=default",
		RestartPostURI:        instance + "/restart?taskHub=default",
		SuspendPostURI:        instance + "/suspend?reason={text}&taskHub=default",
		ResumePostURI:         instance + "/resume?reason={text}&taskHub=default",
	}
}
