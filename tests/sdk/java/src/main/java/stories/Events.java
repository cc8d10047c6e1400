package stories;

import static stories.Stage.COMPLETED;
import static stories.Stage.PENDING;
import static stories.Stage.RUNNING;
import static stories.Stage.SUSPENDED;
import static stories.Stage.check;
import static stories.Stage.fails;
import static stories.Stage.is;
import static stories.Stage.refused;

import com.microsoft.durabletask.OrchestrationMetadata;
import com.microsoft.durabletask.TaskCanceledException;
import com.microsoft.durabletask.TaskOrchestration;
import io.grpc.Status;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.TimeoutException;

/** External events, custom status, and orchestrations that go on as new. */
final class Events {
    private Events() {}

    private static Integer[] upTo(int count) {
        Integer[] numbers = new Integer[count];
        for (int n = 0; n < count; n++) {
            numbers[n] = n;
        }
        return numbers;
    }

    /** Takes so many events in the order in which they come. */
    private static TaskOrchestration collects(int count) {
        return context -> {
            List<Integer> got = new ArrayList<>();
            while (got.size() < count) {
                got.add(context.waitForExternalEvent("number", Integer.class).await());
                context.setCustomStatus("got " + got.size());
            }
            context.complete(got);
        };
    }

    static void beforeStart(Stage stage) throws Exception {
        String id = stage.start("Collects");
        for (int n = 0; n < 3; n++) {
            stage.client.raiseEvent(id, "number", n);
        }
        is("the status without a worker", stage.status(id), PENDING);
        stage.work(Map.of("Collects", collects(4)));
        stage.says(id, "got 3");
        stage.client.raiseEvent(id, "number", 3);
        stage.completes(id, Integer[].class, upTo(4));
    }

    static void whileSuspended(Stage stage) throws Exception {
        stage.work(Map.of("Collects", collects(10)));
        String id = stage.start("Collects");
        stage.until(id, RUNNING);
        stage.client.suspendInstance(id, "stop");
        is("the status", stage.status(id), SUSPENDED);
        for (int n = 0; n < 10; n++) {
            stage.client.raiseEvent(id, "number", n);
        }
        fails(TimeoutException.class,
                () -> stage.client.waitForInstanceCompletion(id, Duration.ofSeconds(1), false));
        OrchestrationMetadata seen = stage.look(id);
        is("the status", seen.getRuntimeStatus(), SUSPENDED);
        is("the custom status", seen.readCustomStatusAs(String.class), null);
        stage.client.resumeInstance(id, "go");
        stage.completes(id, Integer[].class, upTo(10));
    }

    static void afterEnd(Stage stage) throws Exception {
        stage.work(Map.of("Collects", collects(0)));
        String id = stage.start("Collects");
        stage.endsAs(id, COMPLETED);
        stage.client.raiseEvent(id, "number", 1);
        is("the status", stage.status(id), COMPLETED);
        refused(Status.Code.NOT_FOUND, () -> stage.client.raiseEvent("nobody", "number"));
    }

    /** Orchestrations send each other events, and themselves. */
    static void betweenOrchestrations(Stage stage) throws Exception {
        stage.work(Map.of("Sends", context -> {
            context.sendEvent("taker", "number", 0);
            context.sendEvent(context.getInstanceId(), "own", "me");
            context.sendEvent("nobody", "number", 7);
            String own = context.waitForExternalEvent("own", String.class).await();
            context.sendEvent("taker", "number", 1);
            context.complete(own);
        }, "Collects", collects(2)));
        stage.startAs("taker", "Collects", null);
        stage.completes(stage.start("Sends"), String.class, "me");
        stage.completes("taker", Integer[].class, upTo(2));
    }

    static void customStatus(Stage stage) throws Exception {
        stage.work(Map.of("Tells", context -> {
            context.setCustomStatus("first");
            context.waitForExternalEvent("next").await();
            context.setCustomStatus("second 世界");
            context.waitForExternalEvent("next").await();
            context.clearCustomStatus();
            context.waitForExternalEvent("next").await();
            context.setCustomStatus(Map.of("last", 4));
        }));
        String id = stage.start("Tells");
        stage.says(id, "first");
        stage.client.raiseEvent(id, "next");
        stage.says(id, "second 世界");
        stage.client.raiseEvent(id, "next");
        stage.says(id, null);
        check(!stage.state(id).hasCustomStatus(), "a cleared custom status is still there");
        stage.client.raiseEvent(id, "next");
        stage.endsAs(id, COMPLETED);
        is("what is left at the end", stage.state(id).getCustomStatus().getValue(), "{\"last\":4}");
    }

    static void continueAsNew(Stage stage) throws Exception {
        stage.work(Map.of("Counts", context -> {
            // Numbers of tasks begin anew with each generation.
            int n = context.callActivity("Add", context.getInput(Integer.class), Integer.class).await();
            if (n < 10) {
                context.continueAsNew(n);
            }
            context.complete(n);
        }, "Parent", context -> {
            context.complete(context.callSubOrchestrator("Counts", 0, Integer.class).await());
        }), Map.of("Add", context -> context.getInput(Integer.class) + 1));
        String id = stage.start("Counts", 0);
        stage.completes(id, Integer.class, 10);
        is("the input of the last generation", stage.look(id).getSerializedInput(), "9");
        stage.completes(stage.start("Parent"), Integer.class, 10);
    }

    /** Events that wait come along; this package takes them in any order, and with them all that came in this turn. */
    static void continueAsNewWithEvents(Stage stage) throws Exception {
        String id = stage.start("Takes", new int[0]);
        for (int n = 0; n < 10; n++) {
            stage.client.raiseEvent(id, "number", n);
        }
        stage.work(Map.of("Takes", context -> {
            List<Integer> got = new ArrayList<>(List.of(context.getInput(Integer[].class)));
            got.add(context.waitForExternalEvent("number", Integer.class).await());
            context.createTimer(Duration.ZERO).await();
            if (got.size() < 10) {
                context.continueAsNew(got, true);
            }
            got.sort(null);
            context.complete(got);
        }));
        stage.completes(id, Integer[].class, upTo(10));
    }

    static void continueAsNewWithoutEvents(Stage stage) throws Exception {
        String id = stage.start("Forgets", 1);
        stage.client.raiseEvent(id, "noise", 1);
        stage.client.raiseEvent(id, "go", 1);
        stage.work(Map.of("Forgets", context -> {
            if (context.getInput(Integer.class) == 1) {
                context.waitForExternalEvent("go", Integer.class).await();
                context.continueAsNew(2, false);
            }
            try {
                context.waitForExternalEvent("noise", Duration.ofMillis(200)).await();
            } catch (TaskCanceledException timeout) {
                context.complete("forgotten");
            }
        }));
        stage.completes(id, String.class, "forgotten");
    }
}
