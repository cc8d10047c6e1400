package stories;

import static stories.Stage.COMPLETED;
import static stories.Stage.FAILED;
import static stories.Stage.PENDING;
import static stories.Stage.RUNNING;
import static stories.Stage.SUSPENDED;
import static stories.Stage.TERMINATED;
import static stories.Stage.check;
import static stories.Stage.fails;
import static stories.Stage.is;
import static stories.Stage.refused;

import com.microsoft.durabletask.OrchestrationMetadata;
import com.microsoft.durabletask.OrchestrationRuntimeStatus;
import com.microsoft.durabletask.OrchestrationStatusQuery;
import com.microsoft.durabletask.OrchestrationStatusQueryResult;
import com.microsoft.durabletask.PurgeInstanceCriteria;
import com.microsoft.durabletask.TaskFailedException;
import com.microsoft.durabletask.TaskOrchestration;
import io.grpc.Status;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.TimeoutException;

/** What clients do to instances, and how they find them. */
final class Lifecycle {
    private Lifecycle() {}

    /** Goes on until it hears of it. */
    private static final TaskOrchestration WAITS = context -> {
        context.waitForExternalEvent("go").await();
        context.complete("done");
    };

    static void pendingStates(Stage stage) throws Exception {
        String first = stage.start("Waits");
        String second = stage.start("Waits");
        for (String id : List.of(first, second)) {
            is("the status", stage.status(id), PENDING);
            stage.client.resumeInstance(id, "nothing to resume");
            is("the status", stage.status(id), PENDING);
            stage.client.suspendInstance(id);
            stage.client.suspendInstance(id, "again");
            is("the status", stage.status(id), SUSPENDED);
        }
        stage.client.terminate(first, "enough");
        is("the output", stage.ends(first).readOutputAs(String.class), "enough");
        stage.client.resumeInstance(second);
        is("the status", stage.status(second), PENDING);
        String third = stage.start("Waits");
        stage.client.terminate(third, null);
        is("the status", stage.status(third), TERMINATED);
        check(!stage.state(third).hasOutput(), "there is an output");
        stage.work(Map.of("Waits", WAITS));
        stage.client.raiseEvent(second, "go");
        stage.completes(second, String.class, "done");
        is("the one that never began", stage.status(third), TERMINATED);
    }

    static void runningStates(Stage stage) throws Exception {
        stage.work(Map.of("Waits", WAITS));
        String first = stage.start("Waits");
        String second = stage.start("Waits");
        for (String id : List.of(first, second)) {
            stage.until(id, RUNNING);
            stage.client.resumeInstance(id, "nothing to resume");
            for (int round = 0; round < 3; round++) {
                stage.client.suspendInstance(id, "a");
                stage.client.suspendInstance(id, "b");
                is("the status", stage.status(id), SUSPENDED);
                stage.client.resumeInstance(id, "c");
                stage.client.resumeInstance(id, "d");
                is("the status", stage.status(id), RUNNING);
            }
        }
        stage.client.raiseEvent(first, "go");
        stage.completes(first, String.class, "done");
        stage.client.terminate(second, Map.of("why", "enough"));
        is("the output", stage.ends(second).getSerializedOutput(), "{\"why\":\"enough\"}");
        is("the status", stage.status(second), TERMINATED);
        for (String id : List.of(first, second)) {
            OrchestrationMetadata before = stage.look(id);
            stage.client.suspendInstance(id, "late");
            stage.client.resumeInstance(id, "late");
            stage.client.terminate(id, "late");
            stage.client.raiseEvent(id, "go", "late");
            is("the status", stage.status(id), before.getRuntimeStatus());
            is("the output", stage.look(id).getSerializedOutput(), before.getSerializedOutput());
        }
        stage.client.terminate("nobody", null);
    }

    /** This package's terminate leaves sub-orchestrations alone; a parent hears of a terminated one. */
    static void terminateFamily(Stage stage) throws Exception {
        stage.work(Map.of("Parent", context -> {
            try {
                context.callSubOrchestrator("Waits", null, context.getInput(String.class), Void.class).await();
            } catch (TaskFailedException failed) {
                context.complete(failed.getErrorDetails().getErrorType());
            }
        }, "Waits", WAITS));
        String parent = stage.start("Parent", "child");
        stage.until("child", RUNNING);
        stage.client.terminate(parent, null);
        stage.endsAs(parent, TERMINATED);
        is("the child", stage.status("child"), RUNNING);
        stage.client.raiseEvent("child", "go");
        stage.completes("child", String.class, "done");

        parent = stage.start("Parent", "other");
        stage.until("other", RUNNING);
        stage.client.terminate("other", "enough");
        stage.completes(parent, String.class, "SubOrchestrationTerminated");
    }

    static void query(Stage stage) throws Exception {
        stage.work(Map.of("Echo", context -> context.complete(context.getInput(String.class)), "Waits", WAITS,
                "Fails", context -> {
                    throw new IllegalStateException("kaputt");
                }));
        Instant before = Instant.now().minusSeconds(1);
        List<String> created = new ArrayList<>();
        for (int n = 0; n < 21; n++) {
            created.add(stage.startAs("echo-" + n, "Echo", "said " + n));
            stage.endsAs("echo-" + n, COMPLETED);
        }
        stage.startAs("waits-1", "Waits", null);
        stage.until("waits-1", RUNNING);
        stage.startAs("fails-1", "Fails", null);
        stage.endsAs("fails-1", FAILED);

        is("all", found(stage, new OrchestrationStatusQuery()).size(), 23);
        is("in their order", found(stage, new OrchestrationStatusQuery().setMaxInstanceCount(5)
                .setInstanceIdPrefix("echo-")), created);
        is("the failed", found(stage, new OrchestrationStatusQuery().setRuntimeStatusList(List.of(FAILED))),
                List.of("fails-1"));
        is("those that go on or have failed", found(stage, new OrchestrationStatusQuery().setMaxInstanceCount(1)
                .setRuntimeStatusList(List.of(RUNNING, FAILED))), List.of("waits-1", "fails-1"));
        is("those since", found(stage, new OrchestrationStatusQuery().setCreatedTimeFrom(before)).size(), 23);
        is("those until", found(stage, new OrchestrationStatusQuery().setCreatedTimeTo(before)).size(), 0);
        // This package cuts times to milliseconds.
        is("those that came meanwhile", found(stage, new OrchestrationStatusQuery()
                .setCreatedTimeFrom(stage.look("echo-1").getCreatedAt())
                .setCreatedTimeTo(stage.look("echo-3").getCreatedAt().plusMillis(1))), created.subList(1, 4));
        is("nobody", found(stage, new OrchestrationStatusQuery().setInstanceIdPrefix("nobody")), List.of());

        // A token is a position, whatever the size of the page was.
        var query = new OrchestrationStatusQuery().setInstanceIdPrefix("echo-").setMaxInstanceCount(5);
        OrchestrationStatusQueryResult page = stage.client.queryInstances(query);
        is("the first page", page.getOrchestrationState().size(), 5);
        check(!page.getOrchestrationState().get(0).isCustomStatusFetched(), "payloads that nobody asked for");
        query.setMaxInstanceCount(4).setContinuationToken(page.getContinuationToken()).setFetchInputsAndOutputs(true);
        page = stage.client.queryInstances(query);
        is("the next page", page.getOrchestrationState().stream().map(OrchestrationMetadata::getInstanceId).toList(),
                created.subList(5, 9));
        OrchestrationMetadata sixth = page.getOrchestrationState().get(0);
        is("an input", sixth.readInputAs(String.class), "said 5");
        is("an output", sixth.readOutputAs(String.class), "said 5");
    }

    /** Page after page; this package shows no token as an empty one. */
    private static List<String> found(Stage stage, OrchestrationStatusQuery query) {
        List<String> ids = new ArrayList<>();
        for (int pages = 0; pages < 100; pages++) {
            OrchestrationStatusQueryResult page = stage.client.queryInstances(query);
            page.getOrchestrationState().forEach(instance -> ids.add(instance.getInstanceId()));
            if (page.getContinuationToken() == null || page.getContinuationToken().isEmpty()) {
                return ids;
            }
            query.setContinuationToken(page.getContinuationToken());
        }
        throw new AssertionError("pages without end");
    }

    static void purge(Stage stage) throws Exception {
        stage.work(Map.of("Echo", context -> context.complete(context.getInput(String.class)), "Waits", WAITS));
        Instant before = Instant.now().minusSeconds(1);
        String waiting = stage.start("Waits");
        stage.until(waiting, RUNNING);
        is("purges of the live", stage.client.purgeInstance(waiting).getDeletedInstanceCount(), 0);
        is("purges of nobody", stage.client.purgeInstance("nobody").getDeletedInstanceCount(), 0);
        String one = stage.start("Echo", "one");
        stage.endsAs(one, COMPLETED);
        is("purges", stage.client.purgeInstance(one).getDeletedInstanceCount(), 1);
        check(!stage.look(one).isInstanceFound(), "it is still there");
        stage.startAs(one, "Echo", "again");
        stage.completes(one, String.class, "again");
        for (int n = 0; n < 10; n++) {
            stage.endsAs(stage.start("Echo", "x"), COMPLETED);
        }
        String ended = stage.start("Waits");
        stage.client.terminate(ended, null);
        var criteria = new PurgeInstanceCriteria().setCreatedTimeFrom(before).setCreatedTimeTo(Instant.now().plusSeconds(1))
                .setRuntimeStatusList(List.of(COMPLETED)).setTimeout(Duration.ofSeconds(10));
        is("purges of the completed", stage.client.purgeInstances(criteria).getDeletedInstanceCount(), 11);
        is("the terminated one", stage.status(ended), TERMINATED);
        criteria.setRuntimeStatusList(List.of());
        is("purges of the rest", stage.client.purgeInstances(criteria).getDeletedInstanceCount(), 1);
        is("the live one", stage.status(waiting), RUNNING);
    }

    static void restart(Stage stage) throws Exception {
        stage.work(Map.of("Echo", context -> context.complete(context.getInput(String.class)), "Waits", WAITS));
        String id = stage.start("Echo", "hello");
        stage.completes(id, String.class, "hello");
        Instant created = stage.look(id).getCreatedAt();
        is("the id", stage.client.restartInstance(id, false), id);
        stage.completes(id, String.class, "hello");
        check(stage.look(id).getCreatedAt().isAfter(created), "nothing was created");
        String other = stage.client.restartInstance(id, true);
        check(!other.equals(id), "it is the same");
        stage.completes(other, String.class, "hello");
        fails(IllegalArgumentException.class, () -> stage.client.restartInstance("nobody", false));
        String live = stage.start("Waits");
        stage.until(live, RUNNING);
        refused(Status.Code.ALREADY_EXISTS, () -> stage.client.restartInstance(live, false));
        String copy = stage.client.restartInstance(live, true);
        for (String waiting : List.of(live, copy)) {
            stage.client.raiseEvent(waiting, "go");
            stage.completes(waiting, String.class, "done");
        }
    }

    static void idInUse(Stage stage) throws Exception {
        stage.work(Map.of("Waits", WAITS));
        stage.startAs("one", "Waits", null);
        refused(Status.Code.ALREADY_EXISTS, () -> stage.startAs("one", "Waits", null));
        stage.client.raiseEvent("one", "go");
        stage.completes("one", String.class, "done");
        stage.startAs("one", "Waits", null);
        stage.client.terminate("one", null);
        stage.endsAs("one", TERMINATED);
    }

    static void waits(Stage stage) throws Exception {
        Duration soon = Duration.ofMillis(300);
        String id = stage.start("Waits");
        fails(TimeoutException.class, () -> stage.client.waitForInstanceStart(id, soon));
        fails(TimeoutException.class, () -> stage.client.waitForInstanceCompletion(id, soon, false));
        fails(TimeoutException.class, () -> stage.client.waitForInstanceStart("nobody", soon));
        is("the status", stage.status(id), PENDING);
        stage.work(Map.of("Waits", WAITS));
        OrchestrationRuntimeStatus begun = stage.client.waitForInstanceStart(id, Stage.PATIENCE).getRuntimeStatus();
        is("the status after the start", begun, RUNNING);
        fails(TimeoutException.class, () -> stage.client.waitForInstanceCompletion(id, soon, false));
        stage.client.raiseEvent(id, "go");
        stage.completes(id, String.class, "done");
    }

    static void taskHubs(Stage stage) {
        stage.client.createTaskHub(false);
        stage.client.deleteTaskHub();
    }
}
