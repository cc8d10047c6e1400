package main

import (
	"context"
	"fmt"
	"log"
	"strconv"
	"time"

	"github.com/microsoft/durabletask-go/backend"
	"github.com/microsoft/durabletask-go/client"
	"github.com/microsoft/durabletask-go/task"
	"google.golang.org/grpc"
)

// settings are the input of `refresh`.
type settings struct {
	WaitSeconds float64 `json:"waitSeconds"`
	Generation  int     `json:"generation"`
}

// finished is what `report` publishes.
type finished struct {
	Of    string `json:"of"`
	Total int    `json:"total"`
}

// work serves a regular orchestration and an eternal one, on Microsoft's Durable Task SDK.
func work(ctx context.Context, connection *grpc.ClientConn) error {
	registry := task.NewTaskRegistry()
	for name, orchestrator := range map[string]task.Orchestrator{"report": report, "refresh": refresh} {
		if err := registry.AddOrchestratorN(name, orchestrator); err != nil {
			return err
		}
	}
	for name, activity := range map[string]task.Activity{
		"collect": collect, "addUp": addUp, "publish": publish, "refreshCache": refreshCache,
	} {
		if err := registry.AddActivityN(name, activity); err != nil {
			return err
		}
	}
	worker := client.NewTaskHubGrpcClient(connection, backend.DefaultLogger())
	if err := worker.StartWorkItemListener(ctx, registry); err != nil {
		return err
	}
	<-ctx.Done()
	return nil
}

// report does three activities, one after the other, and is done.
func report(ctx *task.OrchestrationContext) (any, error) {
	var of string
	if err := ctx.GetInput(&of); err != nil {
		return nil, err
	}
	var figures []int
	if err := ctx.CallActivity("collect", task.WithActivityInput(of)).Await(&figures); err != nil {
		return nil, err
	}
	report := finished{Of: of}
	if err := ctx.CallActivity("addUp", task.WithActivityInput(figures)).Await(&report.Total); err != nil {
		return nil, err
	}
	var published string
	err := ctx.CallActivity("publish", task.WithActivityInput(report)).Await(&published)
	return published, err
}

func collect(ctx task.ActivityContext) (any, error) {
	var of string
	err := ctx.GetInput(&of)
	log.Printf("collecting the figures of %s", of)
	return []int{20, 21, 1}, err
}

func addUp(ctx task.ActivityContext) (any, error) {
	var figures []int
	err := ctx.GetInput(&figures)
	total := 0
	for _, figure := range figures {
		total += figure
	}
	return total, err
}

func publish(ctx task.ActivityContext) (any, error) {
	var report finished
	err := ctx.GetInput(&report)
	return fmt.Sprintf("the report of %s: %d", report.Of, report.Total), err
}

// refresh never ends: each generation does its work, waits, and continues as the next one, under the same instance id.
func refresh(ctx *task.OrchestrationContext) (any, error) {
	now := settings{WaitSeconds: 5, Generation: 1}
	if err := ctx.GetInput(&now); err != nil {
		return nil, err
	}
	// First of all: this SDK clears the custom status of an execution that has awaited something without setting it.
	ctx.SetCustomStatus(strconv.Itoa(now.Generation))
	if err := ctx.CallActivity("refreshCache", task.WithActivityInput(now.Generation)).Await(nil); err != nil {
		return nil, err
	}
	wait := time.Duration(now.WaitSeconds * float64(time.Second))
	if err := ctx.CreateTimer(wait).Await(nil); err != nil {
		return nil, err
	}
	now.Generation++
	ctx.ContinueAsNew(now)
	return nil, nil
}

func refreshCache(ctx task.ActivityContext) (any, error) {
	var generation int
	err := ctx.GetInput(&generation)
	log.Printf("generation %d", generation)
	return nil, err
}
