package stories;

import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.logging.Level;
import java.util.logging.LogManager;
import java.util.logging.Logger;

/** Programs that use the published Java package of Durable Task with a real server: each story is one. */
public final class Main {
    private Main() {}

    private interface Story {
        void play(Stage stage) throws Exception;
    }

    private static Map<String, Story> stories() {
        Map<String, Story> stories = new LinkedHashMap<>();
        stories.put("sequence", Flow::sequence);
        stories.put("without-result", Flow::withoutResult);
        stories.put("not-registered", Flow::notRegistered);
        stories.put("fan-out", Flow::fanOut);
        stories.put("children", Flow::children);
        stories.put("child-fails", Flow::childFails);
        stories.put("child-retry", Flow::childRetry);
        stories.put("activity-retry", Flow::activityRetry);
        stories.put("timers", Flow::timers);
        stories.put("scheduled-start", Flow::scheduledStart);
        stories.put("events-before-start", Events::beforeStart);
        stories.put("events-while-suspended", Events::whileSuspended);
        stories.put("events-after-end", Events::afterEnd);
        stories.put("events-between-orchestrations", Events::betweenOrchestrations);
        stories.put("custom-status", Events::customStatus);
        stories.put("continue-as-new", Events::continueAsNew);
        stories.put("continue-as-new-with-events", Events::continueAsNewWithEvents);
        stories.put("continue-as-new-without-events", Events::continueAsNewWithoutEvents);
        stories.put("pending-states", Lifecycle::pendingStates);
        stories.put("running-states", Lifecycle::runningStates);
        stories.put("terminate-family", Lifecycle::terminateFamily);
        stories.put("query", Lifecycle::query);
        stories.put("purge", Lifecycle::purge);
        stories.put("restart", Lifecycle::restart);
        stories.put("id-in-use", Lifecycle::idInUse);
        stories.put("waits", Lifecycle::waits);
        stories.put("task-hubs", Lifecycle::taskHubs);
        stories.put("payloads", Load::payloads);
        stories.put("many-at-once", Load::manyAtOnce);
        return stories;
    }

    /** Plays all stories, or those that are named after the server's address. */
    public static void main(String[] arguments) {
        // The package logs what goes well, too; what matters, a story sees.
        LogManager.getLogManager().reset();
        Logger.getLogger("").setLevel(Level.OFF);
        PrintStream out = new PrintStream(System.out, true, StandardCharsets.UTF_8);
        String address = arguments[0];
        List<String> named = List.of(arguments).subList(1, arguments.length);
        int passed = 0;
        int failed = 0;
        for (Map.Entry<String, Story> story : stories().entrySet()) {
            String name = story.getKey();
            if (!named.isEmpty() && !named.contains(name)) {
                continue;
            }
            long begin = System.nanoTime();
            try (Stage stage = new Stage(address, name.equals("sequence") ? null : "java-" + name)) {
                story.getValue().play(stage);
                passed++;
                out.printf("java: %s: ok (%.2f s)%n", name, (System.nanoTime() - begin) / 1e9);
            } catch (Throwable failure) {
                failed++;
                out.printf("FAILED: java: %s: ", name);
                failure.printStackTrace(out);
            }
        }
        out.printf("%d passed, %d failed%n", passed, failed);
        System.exit(failed == 0 && passed > 0 ? 0 : 1);
    }
}
