package stories;

import com.microsoft.durabletask.DurableTaskClient;
import com.microsoft.durabletask.DurableTaskGrpcClientBuilder;
import com.microsoft.durabletask.DurableTaskGrpcWorkerBuilder;
import com.microsoft.durabletask.NewOrchestrationInstanceOptions;
import com.microsoft.durabletask.OrchestrationMetadata;
import com.microsoft.durabletask.OrchestrationRuntimeStatus;
import com.microsoft.durabletask.TaskActivity;
import com.microsoft.durabletask.TaskActivityFactory;
import com.microsoft.durabletask.TaskOrchestration;
import com.microsoft.durabletask.TaskOrchestrationFactory;
import com.microsoft.durabletask.implementation.protobuf.OrchestratorService;
import com.microsoft.durabletask.implementation.protobuf.TaskHubSidecarServiceGrpc;
import io.grpc.Channel;
import io.grpc.ClientInterceptors;
import io.grpc.ManagedChannel;
import io.grpc.ManagedChannelBuilder;
import io.grpc.Metadata;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import io.grpc.stub.MetadataUtils;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.concurrent.TimeoutException;
import java.util.function.Predicate;

/** One story's client and workers, in a task hub of their own. */
final class Stage implements AutoCloseable {
    /** Bounds every wait. */
    static final Duration PATIENCE = Duration.ofSeconds(20);

    static final OrchestrationRuntimeStatus PENDING = OrchestrationRuntimeStatus.PENDING;
    static final OrchestrationRuntimeStatus RUNNING = OrchestrationRuntimeStatus.RUNNING;
    static final OrchestrationRuntimeStatus SUSPENDED = OrchestrationRuntimeStatus.SUSPENDED;
    static final OrchestrationRuntimeStatus COMPLETED = OrchestrationRuntimeStatus.COMPLETED;
    static final OrchestrationRuntimeStatus FAILED = OrchestrationRuntimeStatus.FAILED;
    static final OrchestrationRuntimeStatus TERMINATED = OrchestrationRuntimeStatus.TERMINATED;

    final DurableTaskClient client;
    private final ManagedChannel connection;
    private final Channel channel;
    private final List<Thread> workers = new ArrayList<>();

    /** Without a name: in the default task hub, as a program without any metadata. */
    Stage(String address, String hub) {
        connection = ManagedChannelBuilder.forTarget(address).usePlaintext().build();
        if (hub == null) {
            channel = connection;
        } else {
            Metadata headers = new Metadata();
            headers.put(Metadata.Key.of("taskhub", Metadata.ASCII_STRING_MARSHALLER), hub);
            channel = ClientInterceptors.intercept(connection, MetadataUtils.newAttachHeadersInterceptor(headers));
        }
        client = new DurableTaskGrpcClientBuilder().grpcChannel(channel).build();
    }

    @Override
    public void close() throws InterruptedException {
        for (Thread worker : workers) {
            worker.interrupt();
            worker.join(PATIENCE.toMillis());
        }
        connection.shutdownNow();
    }

    /** Starts a worker; it ends with the story. */
    void work(Map<String, TaskOrchestration> orchestrations, Map<String, TaskActivity> activities) {
        DurableTaskGrpcWorkerBuilder builder = new DurableTaskGrpcWorkerBuilder().grpcChannel(channel);
        orchestrations.forEach((name, orchestration) -> builder.addOrchestration(new TaskOrchestrationFactory() {
            public String getName() {
                return name;
            }

            public TaskOrchestration create() {
                return orchestration;
            }
        }));
        activities.forEach((name, activity) -> builder.addActivity(new TaskActivityFactory() {
            public String getName() {
                return name;
            }

            public TaskActivity create() {
                return activity;
            }
        }));
        Thread worker = new Thread(builder.build()::startAndBlock);
        worker.setDaemon(true);
        worker.start();
        workers.add(worker);
    }

    void work(Map<String, TaskOrchestration> orchestrations) {
        work(orchestrations, Map.of());
    }

    String start(String name) {
        return client.scheduleNewOrchestrationInstance(name);
    }

    String start(String name, Object input) {
        return client.scheduleNewOrchestrationInstance(name, input);
    }

    String startAs(String id, String name, Object input) {
        var options = new NewOrchestrationInstanceOptions().setInstanceId(id).setInput(input);
        return client.scheduleNewOrchestrationInstance(name, options);
    }

    OrchestrationMetadata look(String id) {
        return client.getInstanceMetadata(id, true);
    }

    /** What the package's own client does not show. */
    OrchestratorService.OrchestrationState state(String id) {
        var request = OrchestratorService.GetInstanceRequest.newBuilder();
        request.setInstanceId(id).setGetInputsAndOutputs(true);
        return TaskHubSidecarServiceGrpc.newBlockingStub(channel).getInstance(request.build()).getOrchestrationState();
    }

    /** Waits for the end, whatever it is. */
    OrchestrationMetadata ends(String id) throws TimeoutException {
        return client.waitForInstanceCompletion(id, PATIENCE, true);
    }

    void endsAs(String id, OrchestrationRuntimeStatus status) throws TimeoutException {
        OrchestrationMetadata end = ends(id);
        is("the end of " + id + " (" + why(end) + ")", end.getRuntimeStatus(), status);
    }

    /** Waits for a good end with this output. */
    <T> void completes(String id, Class<T> type, T output) throws TimeoutException {
        OrchestrationMetadata end = ends(id);
        is("the end of " + id + " (" + why(end) + ")", end.getRuntimeStatus(), COMPLETED);
        T got = end.readOutputAs(type);
        boolean same = got instanceof Object[] array && output instanceof Object[] wanted
                ? Arrays.equals(array, wanted)
                : Objects.equals(got, output);
        check(same, "the output of " + id + " is " + end.getSerializedOutput());
    }

    private static String why(OrchestrationMetadata end) {
        return end.getFailureDetails() == null ? "no failure" : end.getFailureDetails().getErrorMessage();
    }

    /** Waits until an instance is seen in a status. */
    OrchestrationMetadata until(String id, OrchestrationRuntimeStatus status) throws Exception {
        return sees(id, status.name(), seen -> seen.getRuntimeStatus() == status);
    }

    /** Waits until an instance has told where it is. */
    void says(String id, String customStatus) throws Exception {
        sees(id, "with custom status " + customStatus,
                seen -> Objects.equals(seen.readCustomStatusAs(String.class), customStatus));
    }

    OrchestrationMetadata sees(String id, String what, Predicate<OrchestrationMetadata> wanted) throws Exception {
        OrchestrationMetadata seen = look(id);
        for (long end = System.nanoTime() + PATIENCE.toNanos(); System.nanoTime() < end; seen = look(id)) {
            if (seen.isInstanceFound() && wanted.test(seen)) {
                return seen;
            }
            Thread.sleep(5);
        }
        throw new AssertionError(id + " is never seen " + what + " but: " + seen);
    }

    OrchestrationRuntimeStatus status(String id) {
        return look(id).getRuntimeStatus();
    }

    static <T> void is(String what, T got, T wanted) {
        check(Objects.equals(got, wanted), what + " is " + got + ", not " + wanted);
    }

    static void check(boolean holds, String otherwise) {
        if (!holds) {
            throw new AssertionError(otherwise);
        }
    }

    interface Call {
        void run() throws Exception;
    }

    static <E extends Exception> E fails(Class<E> with, Call call) throws Exception {
        try {
            call.run();
        } catch (Exception failure) {
            if (with.isInstance(failure)) {
                return with.cast(failure);
            }
            throw failure;
        }
        throw new AssertionError("it did not fail with " + with.getSimpleName());
    }

    static void refused(Status.Code code, Call call) throws Exception {
        is("the code", fails(StatusRuntimeException.class, call).getStatus().getCode(), code);
    }
}
