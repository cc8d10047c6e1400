package singleton;

import io.grpc.Channel;
import io.grpc.StatusRuntimeException;
import java.util.Iterator;
import java.util.Locale;
import java.util.concurrent.ThreadLocalRandom;
import soloist.v1.OrchestrationServiceGrpc;
import soloist.v1.OrchestrationServiceGrpc.OrchestrationServiceBlockingStub;
import soloist.v1.RuntimeStatus;
import soloist.v1.WatchStatusRequest;
import soloist.v1.WatchStatusResponse;

/** The watch: prints every transition of an instance until it has ended. */
final class Watch {
    private Watch() {}

    /** Every transition once and in order: a stream that breaks is followed by one from where it broke. */
    static void watch(Channel channel, String id) throws InterruptedException {
        OrchestrationServiceBlockingStub soloist = OrchestrationServiceGrpc.newBlockingStub(channel);
        WatchStatusRequest.Builder request = WatchStatusRequest.newBuilder().setInstanceId(id).setUntilTerminal(true);
        while (true) {
            try {
                Iterator<WatchStatusResponse> items = soloist.watchStatus(request.build());
                while (items.hasNext()) {
                    WatchStatusResponse item = items.next();
                    if (!item.getHeartbeat()) {
                        request.setFromRevision(item.getStatus().getRevision());
                        print(item);
                    }
                }
                return;
            } catch (StatusRuntimeException error) {
                switch (error.getStatus().getCode()) {
                    // A server that is away, a proxy, or a connection that breaks.
                    case UNAVAILABLE, UNKNOWN, INTERNAL, CANCELLED -> {}
                    default -> throw error;
                }
            }
            Thread.sleep(ThreadLocalRandom.current().nextLong(200, 1000));
        }
    }

    private static void print(WatchStatusResponse item) {
        if (item.getResync()) {
            System.out.println("some transitions are no longer kept; from here on:");
        }
        System.out.println(
                item.getSequence() + " " + name(item.getStatus().getRuntimeStatus()) + " " + item.getStatus().getExecutionId());
    }

    private static String name(RuntimeStatus status) {
        String name = status.name().replaceFirst("^RUNTIME_STATUS_", "");
        return name.charAt(0) + name.substring(1).toLowerCase(Locale.ROOT);
    }
}
