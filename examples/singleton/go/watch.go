package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	soloist "soloist/examples/singleton/stubs/soloist/v1"
)

// watch prints every transition of an instance until it has ended, once and in order: a stream that breaks is followed by
// one from where it broke.
func watch(ctx context.Context, connection *grpc.ClientConn, id string) error {
	client := soloist.NewOrchestrationServiceClient(connection)
	request := &soloist.WatchStatusRequest{InstanceId: id, UntilTerminal: true}
	for {
		err := follow(ctx, client, request)
		if !lost(err) {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(200*time.Millisecond + time.Duration(rand.Int63n(int64(800*time.Millisecond)))):
		}
	}
}

// follow prints what one stream tells, and notes how far it came.
func follow(ctx context.Context, client soloist.OrchestrationServiceClient, request *soloist.WatchStatusRequest) error {
	stream, err := client.WatchStatus(ctx, request)
	if err != nil {
		return err
	}
	for {
		item, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if item.Heartbeat {
			continue
		}
		if item.Resync {
			fmt.Println("some transitions are no longer kept; from here on:")
		}
		name := strings.ToLower(strings.TrimPrefix(item.Status.RuntimeStatus.String(), "RUNTIME_STATUS_"))
		fmt.Println(item.Sequence, strings.ToUpper(name[:1])+name[1:], item.Status.ExecutionId)
		request.FromRevision = &item.Status.Revision
	}
}

// lost is what a server that is away, a proxy, or a connection that breaks leads to.
func lost(err error) bool {
	switch status.Code(err) {
	case codes.Unavailable, codes.Unknown, codes.Internal, codes.Canceled:
		return true
	}
	return false
}
