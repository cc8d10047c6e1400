package stories;

import static stories.Stage.COMPLETED;
import static stories.Stage.FAILED;
import static stories.Stage.RUNNING;
import static stories.Stage.PENDING;
import static stories.Stage.check;
import static stories.Stage.is;

import com.microsoft.durabletask.CompositeTaskFailedException;
import com.microsoft.durabletask.FailureDetails;
import com.microsoft.durabletask.NewOrchestrationInstanceOptions;
import com.microsoft.durabletask.OrchestrationMetadata;
import com.microsoft.durabletask.RetryPolicy;
import com.microsoft.durabletask.Task;
import com.microsoft.durabletask.TaskCanceledException;
import com.microsoft.durabletask.TaskFailedException;
import com.microsoft.durabletask.TaskOptions;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.atomic.AtomicInteger;

/** What orchestrators do: activities, sub-orchestrations, retries and timers. */
final class Flow {
    private Flow() {}

    static void sequence(Stage stage) throws Exception {
        stage.work(Map.of("Greetings", context -> {
            List<String> said = new ArrayList<>();
            for (String name : List.of("Tokyo", "London", "世界")) {
                said.add(context.callActivity("Greet", name, String.class).await());
            }
            context.complete(said);
        }), Map.of("Greet", context -> "Hello, " + context.getInput(String.class) + "!"));
        Instant before = Instant.now();
        String id = stage.start("Greetings", Map.of("n", 3));
        stage.completes(id, String[].class, new String[] {"Hello, Tokyo!", "Hello, London!", "Hello, 世界!"});
        OrchestrationMetadata end = stage.look(id);
        is("the name", end.getName(), "Greetings");
        is("the id", end.getInstanceId(), id);
        is("the input", end.getSerializedInput(), "{\"n\":3}");
        check(!stage.state(id).hasFailureDetails(), "there is a failure");
        check(!end.getCreatedAt().isBefore(before.minusSeconds(1)), "created at " + end.getCreatedAt());
        check(!end.getLastUpdatedAt().isBefore(end.getCreatedAt()), "updated at " + end.getLastUpdatedAt());
        OrchestrationMetadata bare = stage.client.getInstanceMetadata(id, false);
        is("the input that nobody asked for", bare.getSerializedInput(), "");
        is("the output that nobody asked for", bare.getSerializedOutput(), "");
        check(!stage.look("nobody").isInstanceFound(), "nobody is there");
    }

    static void withoutResult(Stage stage) throws Exception {
        stage.work(Map.of("Nothing", context -> {
            context.callActivity("Nothing").await();
        }), Map.of("Nothing", context -> null));
        String id = stage.start("Nothing");
        stage.endsAs(id, COMPLETED);
        check(!stage.state(id).hasOutput(), "there is an output");
        check(!stage.state(id).hasInput(), "there is an input");
    }

    static void notRegistered(Stage stage) throws Exception {
        stage.work(Map.of("Calls", context -> context.callActivity("Missing").await()));
        stage.endsAs(stage.start("Missing"), FAILED);
        stage.endsAs(stage.start("Calls"), FAILED);
    }

    static void fanOut(Stage stage) throws Exception {
        stage.work(Map.of("Squares", context -> {
            List<Task<Integer>> calls = new ArrayList<>();
            for (int n = 0; n < 20; n++) {
                calls.add(context.callActivity("Square", n, Integer.class));
            }
            context.complete(context.allOf(calls).await().stream().mapToInt(square -> square).sum());
        }, "Some", context -> {
            List<Task<Integer>> calls = new ArrayList<>();
            for (int n = 0; n < 4; n++) {
                calls.add(context.callActivity("Odd", n, Integer.class));
            }
            try {
                context.allOf(calls).await();
            } catch (CompositeTaskFailedException failed) {
                context.complete(failed.getExceptions().size());
            }
        }), Map.of("Square", context -> {
            int n = context.getInput(Integer.class);
            return n * n;
        }, "Odd", context -> {
            if (context.getInput(Integer.class) % 2 == 0) {
                throw new IllegalArgumentException("even");
            }
            return 1;
        }));
        stage.completes(stage.start("Squares"), Integer.class, 2470);
        stage.completes(stage.start("Some"), Integer.class, 2);
    }

    static void children(Stage stage) throws Exception {
        stage.work(Map.of("Parent", context -> {
            Task<String> one = context.callSubOrchestrator("Child", "one", String.class);
            Task<String> two = context.callSubOrchestrator("Child", "two", "named", String.class);
            context.complete(new String[] {one.await(), two.await()});
        }, "Child", context -> {
            String name = context.getInput(String.class);
            context.complete(context.getInstanceId().equals("named") ? name + " as named" : name);
        }));
        stage.completes(stage.start("Parent"), String[].class, new String[] {"one", "two as named"});
        is("the child", stage.status("named"), COMPLETED);
        check(!stage.state("named").getOutput().getValue().isEmpty(), "the child has no output");
    }

    /** Kind and words of a failure reach the parent, and its parent. */
    static void childFails(Stage stage) throws Exception {
        stage.work(Map.of("Parent", context -> {
            try {
                context.callSubOrchestrator("Child", null, "child", String.class).await();
            } catch (TaskFailedException failed) {
                FailureDetails why = failed.getErrorDetails();
                boolean known = why.isCausedBy(IllegalStateException.class) && why.isCausedBy(RuntimeException.class);
                check(!why.isCausedBy(IllegalArgumentException.class), "it is everything");
                context.complete(new String[] {why.getErrorType(), why.getErrorMessage(), known + ""});
            }
        }, "Careless", context -> {
            context.callSubOrchestrator("Child", null, Void.class).await();
        }, "Child", context -> {
            throw new IllegalStateException("kaputt");
        }));
        var type = "java.lang.IllegalStateException";
        stage.completes(stage.start("Parent"), String[].class, new String[] {type, "kaputt", "true"});
        FailureDetails why = stage.look("child").getFailureDetails();
        is("the child's failure", why.getErrorType() + ": " + why.getErrorMessage(), type + ": kaputt");
        check(why.getStackTrace().contains("stories.Flow"), "no stack trace");
        String careless = stage.start("Careless");
        stage.endsAs(careless, FAILED);
        why = stage.look(careless).getFailureDetails();
        is("the parent's failure", why.getErrorType(), TaskFailedException.class.getName());
        check(why.getErrorMessage().contains("kaputt"), why.getErrorMessage());
    }

    static void childRetry(Stage stage) throws Exception {
        AtomicInteger tries = new AtomicInteger();
        var policy = new TaskOptions(new RetryPolicy(3, Duration.ofMillis(50)));
        stage.work(Map.of("Parent", context -> {
            String name = context.getInput(String.class);
            context.complete(context.callSubOrchestrator(name, null, "child-" + name, policy, Integer.class).await());
        }, "Third", context -> {
            if (tries.incrementAndGet() < 3) {
                throw new IllegalStateException("not yet");
            }
            context.complete(tries.get());
        }, "Never", context -> {
            throw new IllegalStateException("never");
        }));
        stage.completes(stage.start("Parent", "Third"), Integer.class, 3);
        String never = stage.start("Parent", "Never");
        stage.endsAs(never, FAILED);
        check(stage.look(never).getFailureDetails().getErrorMessage().contains("never"), "no reason");
    }

    static void activityRetry(Stage stage) throws Exception {
        AtomicInteger tries = new AtomicInteger();
        var policy = new TaskOptions(new RetryPolicy(3, Duration.ofMillis(200)));
        // Ends at once for another kind of failure, so it sees the kind.
        var handler = new TaskOptions(retry -> retry.getLastFailure().isCausedBy(IllegalStateException.class)
                && retry.getLastFailure().getErrorMessage().equals("not yet")
                && retry.getLastAttemptNumber() < 10);
        stage.work(Map.of("Policy", context -> {
            context.complete(context.callActivity("Third", null, policy, Integer.class).await());
        }, "Handler", context -> {
            context.complete(context.callActivity("Third", null, handler, Integer.class).await());
        }, "Never", context -> {
            context.callActivity("Never", null, policy).await();
        }), Map.of("Third", context -> {
            if (tries.incrementAndGet() % 3 != 0) {
                throw new IllegalStateException("not yet");
            }
            return tries.get();
        }, "Never", context -> {
            throw new IllegalArgumentException("never");
        }));
        String id = stage.start("Policy");
        stage.completes(id, Integer.class, 3);
        OrchestrationMetadata end = stage.look(id);
        Duration took = Duration.between(end.getCreatedAt(), end.getLastUpdatedAt());
        check(took.toMillis() >= 400 && took.toMillis() < 2000, "two delays of 200 ms took " + took);
        stage.completes(stage.start("Handler"), Integer.class, 6);
        String never = stage.start("Never");
        stage.endsAs(never, FAILED);
        check(stage.look(never).getFailureDetails().getErrorMessage().contains("never"), "no reason");
    }

    static void timers(Stage stage) throws Exception {
        stage.work(Map.of("Waits", context -> {
            Duration delay = Duration.ofMillis(context.getInput(Integer.class));
            Instant due = context.getCurrentInstant().plus(delay);
            context.createTimer(delay).await();
            context.complete(!context.getCurrentInstant().isBefore(due));
        }, "Abandons", context -> {
            Task<String> word = context.waitForExternalEvent("word", String.class);
            Task<Void> timer = context.createTimer(Duration.ofHours(1));
            context.complete(context.anyOf(word, timer).await() == word ? word.await() : "too late");
        }, "Chooses", context -> {
            Task<Void> slow = context.createTimer(Duration.ofHours(1));
            Task<Void> quick = context.createTimer(Duration.ofMillis(100));
            context.complete(context.anyOf(slow, quick).await() == quick);
        }, "TimesOut", context -> {
            try {
                context.waitForExternalEvent("word", Duration.ofMillis(100)).await();
            } catch (TaskCanceledException timeout) {
                context.complete("too late");
            }
        }));
        for (int delay : new int[] {0, 300}) {
            String id = stage.start("Waits", delay);
            stage.completes(id, Boolean.class, true);
            OrchestrationMetadata end = stage.look(id);
            long took = Duration.between(end.getCreatedAt(), end.getLastUpdatedAt()).toMillis();
            check(took >= delay && took < delay + 1000, "a timer of " + delay + " ms took " + took);
        }
        String abandons = stage.start("Abandons");
        stage.until(abandons, RUNNING);
        stage.client.raiseEvent(abandons, "word", "in time");
        stage.completes(abandons, String.class, "in time");
        stage.completes(stage.start("Chooses"), Boolean.class, true);
        stage.completes(stage.start("TimesOut"), String.class, "too late");
    }

    static void scheduledStart(Stage stage) throws Exception {
        stage.work(Map.of("Ends", context -> context.complete(1)));
        Instant at = Instant.now().plusSeconds(1);
        var options = new NewOrchestrationInstanceOptions().setStartTime(at).setVersion("2.1");
        String id = stage.client.scheduleNewOrchestrationInstance("Ends", options);
        is("the status before its time", stage.status(id), PENDING);
        OrchestrationMetadata end = stage.ends(id);
        check(!end.getLastUpdatedAt().isBefore(at), "it was to start at " + at + ": " + end);
        is("the version", stage.state(id).getVersion().getValue(), "2.1");
    }
}
