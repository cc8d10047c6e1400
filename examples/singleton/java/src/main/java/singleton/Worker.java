package singleton;

import com.microsoft.durabletask.DurableTaskGrpcWorkerBuilder;
import com.microsoft.durabletask.TaskActivity;
import com.microsoft.durabletask.TaskActivityContext;
import com.microsoft.durabletask.TaskActivityFactory;
import com.microsoft.durabletask.TaskOrchestration;
import com.microsoft.durabletask.TaskOrchestrationContext;
import com.microsoft.durabletask.TaskOrchestrationFactory;
import io.grpc.Channel;
import java.time.Duration;
import java.util.stream.IntStream;

/** The worker: a regular orchestration and an eternal one, on Microsoft's Durable Task SDK. */
final class Worker {
    private Worker() {}

    /** What `report` publishes. */
    record Finished(String of, int total) {}

    /** The input of `refresh`. */
    record Settings(Double waitSeconds, Integer generation) {}

    static void work(Channel channel) {
        DurableTaskGrpcWorkerBuilder builder = new DurableTaskGrpcWorkerBuilder().grpcChannel(channel);
        orchestration(builder, "report", Worker::report);
        orchestration(builder, "refresh", Worker::refresh);
        activity(builder, "collect", Worker::collect);
        activity(builder, "addUp", Worker::addUp);
        activity(builder, "publish", Worker::publish);
        activity(builder, "refreshCache", Worker::refreshCache);
        // It looks for the server until it is there, and again whenever it is lost.
        builder.build().startAndBlock();
    }

    /** Three activities, one after the other, and it is done. */
    private static void report(TaskOrchestrationContext context) {
        String of = context.getInput(String.class);
        int[] figures = context.callActivity("collect", of, int[].class).await();
        int total = context.callActivity("addUp", figures, Integer.class).await();
        context.complete(context.callActivity("publish", new Finished(of, total), String.class).await());
    }

    private static Object collect(TaskActivityContext context) {
        System.out.println("collecting the figures of " + context.getInput(String.class));
        return new int[] {20, 21, 1};
    }

    private static Object addUp(TaskActivityContext context) {
        return IntStream.of(context.getInput(int[].class)).sum();
    }

    private static Object publish(TaskActivityContext context) {
        Finished report = context.getInput(Finished.class);
        return "the report of " + report.of() + ": " + report.total();
    }

    /** Never ends: each generation does its work, waits, and continues as the next one, under the same instance id. */
    private static void refresh(TaskOrchestrationContext context) {
        Settings given = context.getInput(Settings.class);
        double waitSeconds = given == null || given.waitSeconds() == null ? 5 : given.waitSeconds();
        int generation = given == null || given.generation() == null ? 1 : given.generation();
        context.callActivity("refreshCache", generation).await();
        context.setCustomStatus(generation);
        context.createTimer(Duration.ofMillis((long) (waitSeconds * 1000))).await();
        context.continueAsNew(new Settings(waitSeconds, generation + 1));
    }

    private static Object refreshCache(TaskActivityContext context) {
        System.out.println("generation " + context.getInput(Integer.class));
        return null;
    }

    private static void orchestration(DurableTaskGrpcWorkerBuilder builder, String name, TaskOrchestration orchestration) {
        builder.addOrchestration(new TaskOrchestrationFactory() {
            @Override
            public String getName() {
                return name;
            }

            @Override
            public TaskOrchestration create() {
                return orchestration;
            }
        });
    }

    private static void activity(DurableTaskGrpcWorkerBuilder builder, String name, TaskActivity activity) {
        builder.addActivity(new TaskActivityFactory() {
            @Override
            public String getName() {
                return name;
            }

            @Override
            public TaskActivity create() {
                return activity;
            }
        });
    }
}
