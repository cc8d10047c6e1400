// Command singleton is the singleton sample: an HTTP front, a worker and a watch.
package main

import (
	"context"
	"fmt"
	"log"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
)

func main() {
	log.SetFlags(0)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()

	server := strings.TrimRight(setting("SOLOIST_SERVER", "http://localhost:4001"), "/")
	// It connects with the first call, and again whenever the connection is lost.
	connection, err := grpc.Dial(strings.TrimPrefix(server, "http://"), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		log.Fatal(err)
	}
	defer connection.Close()

	switch args := os.Args[1:]; {
	case len(args) == 1 && args[0] == "front":
		err = front(ctx, connection, server, setting("FRONT_PORT", "7071"))
	case len(args) == 1 && args[0] == "worker":
		err = work(ctx, connection)
	case len(args) == 2 && args[0] == "watch":
		err = watch(ctx, connection, args[1])
	default:
		err = fmt.Errorf("usage: %s front | worker | watch INSTANCE-ID", os.Args[0])
	}
	// Whoever was told to end has not failed.
	if err != nil && ctx.Err() == nil {
		log.Fatal(err)
	}
}

func setting(name, otherwise string) string {
	if value := os.Getenv(name); value != "" {
		return value
	}
	return otherwise
}
