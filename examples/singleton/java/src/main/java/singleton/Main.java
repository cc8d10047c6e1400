package singleton;

import io.grpc.ManagedChannel;
import io.grpc.ManagedChannelBuilder;
import io.grpc.StatusRuntimeException;
import java.net.URI;

/** The singleton sample: an HTTP front, a worker and a watch. */
public final class Main {
    private Main() {}

    public static void main(String[] args) throws Exception {
        String server = setting("SOLOIST_SERVER", "http://localhost:4001").replaceAll("/+$", "");
        // It connects with the first call, and again whenever the connection is lost.
        ManagedChannel channel = ManagedChannelBuilder.forTarget(URI.create(server).getAuthority()).usePlaintext().build();
        if (args.length == 1 && args[0].equals("front")) {
            new Front(channel, server).serve(Integer.parseInt(setting("FRONT_PORT", "7071")));
        } else if (args.length == 1 && args[0].equals("worker")) {
            Worker.work(channel);
        } else if (args.length == 2 && args[0].equals("watch")) {
            try {
                Watch.watch(channel, args[1]);
            } catch (StatusRuntimeException why) {
                System.err.println(why.getStatus().getDescription());
                System.exit(1);
            }
            channel.shutdownNow();
        } else {
            System.err.println("usage: front | worker | watch INSTANCE-ID");
            System.exit(2);
        }
    }

    private static String setting(String name, String otherwise) {
        String value = System.getenv(name);
        return value == null || value.isEmpty() ? otherwise : value;
    }
}
