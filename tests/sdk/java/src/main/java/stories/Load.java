package stories;

import static stories.Stage.FAILED;
import static stories.Stage.is;
import static stories.Stage.refused;

import io.grpc.Status;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;

/** Much at once. */
final class Load {
    private Load() {}

    /** The largest payload that run.sh's server takes: 3 MiB with its quotes. */
    private static final int LARGEST = (3 << 20) - 2;

    static void payloads(Stage stage) throws Exception {
        String large = "x".repeat(LARGEST);
        stage.work(Map.of("TakesInput", context -> {
            context.complete(context.getInput(String.class).length());
        }, "Gives", context -> {
            context.complete(large);
        }, "TakesResult", context -> {
            context.complete(context.callActivity("Gives", String.class).await().length());
        }, "GivesInput", context -> {
            context.complete(context.callActivity("Takes", large, Integer.class).await());
        }, "TakesEvent", context -> {
            context.complete(context.waitForExternalEvent("text", String.class).await().length());
        }, "Family", context -> {
            context.complete(context.callSubOrchestrator("Gives", null, String.class).await().length());
        }, "TakesTwo", context -> {
            context.callActivity("Gives", String.class).await();
            context.callActivity("Gives", String.class).await();
        }), Map.of("Gives", context -> large, "Takes", context -> context.getInput(String.class).length()));
        for (String name : List.of("TakesResult", "GivesInput", "Family")) {
            stage.completes(stage.start(name), Integer.class, LARGEST);
        }
        stage.completes(stage.start("TakesInput", large), Integer.class, LARGEST);
        stage.completes(stage.start("Gives"), String.class, large);
        String id = stage.start("TakesEvent");
        stage.client.raiseEvent(id, "text", large);
        stage.completes(id, Integer.class, LARGEST);
        refused(Status.Code.INVALID_ARGUMENT, () -> stage.start("TakesInput", large + "x"));
        // The package's worker takes messages of up to 4 MiB: what no worker can be told ends, and says why.
        id = stage.start("TakesTwo");
        stage.endsAs(id, FAILED);
        is("why", stage.look(id).getFailureDetails().getErrorType(), "HistoryTooLarge");
    }

    static void manyAtOnce(Stage stage) throws Exception {
        stage.work(Map.of("Chain", context -> {
            int n = context.getInput(Integer.class);
            for (int step = 0; step < 2; step++) {
                n = context.callActivity("Double", n, Integer.class).await();
            }
            context.complete(n);
        }), Map.of("Double", context -> 2 * context.getInput(Integer.class)));
        List<String> ids = new ArrayList<>();
        for (int n = 0; n < 200; n++) {
            ids.add(stage.start("Chain", n));
        }
        for (int n = 0; n < ids.size(); n++) {
            stage.completes(ids.get(n), Integer.class, 4 * n);
        }
    }
}
