package singleton;

import static java.nio.charset.StandardCharsets.UTF_8;

import com.fasterxml.jackson.databind.DeserializationFeature;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import io.grpc.Channel;
import io.grpc.StatusRuntimeException;
import java.io.IOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.URLDecoder;
import java.net.URLEncoder;
import java.nio.ByteBuffer;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.UUID;
import java.util.concurrent.Executors;
import java.util.concurrent.ThreadLocalRandom;
import java.util.concurrent.TimeUnit;
import soloist.v1.OrchestrationServiceGrpc;
import soloist.v1.OrchestrationServiceGrpc.OrchestrationServiceBlockingStub;
import soloist.v1.StartSingletonRequest;

/** The HTTP front: POST /orchestrators/{functionName}/{instanceId} starts a singleton, or answers 409. */
final class Front {
    /** What the server takes at most, if it is told to. */
    private static final int BODY_BYTES_MAX = 3 << 20;
    /** Connections that wait to be taken. */
    private static final int WAITING_MAX = 1024;
    private static final int CALL_SECONDS = 30;
    /** How long to wait before each further attempt of a start, give or take a half. */
    private static final int[] WAITS_MS = {100, 400, 1600, 6400};
    private static final ObjectMapper JSON =
            new ObjectMapper().enable(DeserializationFeature.FAIL_ON_TRAILING_TOKENS);

    private final OrchestrationServiceBlockingStub soloist;
    private final String server;

    Front(Channel channel, String server) {
        soloist = OrchestrationServiceGrpc.newBlockingStub(channel);
        this.server = server;
    }

    void serve(int port) throws IOException {
        HttpServer http = HttpServer.create(new InetSocketAddress(InetAddress.getByName("127.0.0.1"), port), WAITING_MAX);
        http.setExecutor(Executors.newCachedThreadPool());
        http.createContext("/orchestrators/", this::handle);
        http.start();
        System.out.println("http:/" + http.getAddress() + "/orchestrators/{functionName}/{instanceId}");
    }

    private void handle(HttpExchange exchange) throws IOException {
        try (exchange) {
            String[] path = exchange.getRequestURI().getRawPath().split("/", -1);
            if (path.length != 4) {
                answer(exchange, 404, "POST /orchestrators/{functionName}/{instanceId} is all there is.");
            } else if (!exchange.getRequestMethod().equals("POST")) {
                exchange.getResponseHeaders().set("Allow", "POST");
                answer(exchange, 405, "POST is all there is.");
            } else {
                httpStart(exchange, decode(path[2]), decode(path[3]));
            }
        } catch (RuntimeException bug) {
            bug.printStackTrace();
            throw bug;
        }
    }

    private void httpStart(HttpExchange exchange, String functionName, String instanceId) throws IOException {
        byte[] body = exchange.getRequestBody().readNBytes(BODY_BYTES_MAX + 1);
        if (body.length > BODY_BYTES_MAX) {
            answer(exchange, 413, "The body is too large.");
            return;
        }
        // The same in every attempt, so that none of them starts a second one.
        StartSingletonRequest.Builder request = StartSingletonRequest.newBuilder()
                .setFunctionName(functionName).setInstanceId(instanceId).setRequestId(UUID.randomUUID().toString());
        if (body.length > 0) {
            try {
                String text = UTF_8.newDecoder().decode(ByteBuffer.wrap(body)).toString();
                JSON.readValue(text, Object.class);
                request.setInput(text);
            } catch (IOException error) {
                answer(exchange, 400, "The body is no JSON.");
                return;
            }
        }
        try {
            start(request.build());
        } catch (StatusRuntimeException why) {
            refuse(exchange, why);
            return;
        }
        Map<String, String> payload = checkStatus(instanceId);
        exchange.getResponseHeaders().set("Location", payload.get("statusQueryGetUri"));
        exchange.getResponseHeaders().set("Retry-After", "10");
        answer(exchange, 202, "application/json", JSON.writeValueAsString(payload));
    }

    /** Checks and starts in one step: of any number of callers at the same moment, one is told that it has started it. */
    private void start(StartSingletonRequest request) {
        for (int attempt = 0; ; attempt++) {
            try {
                soloist.withDeadlineAfter(CALL_SECONDS, TimeUnit.SECONDS).startSingleton(request);
                return;
            } catch (StatusRuntimeException error) {
                boolean unanswered = switch (error.getStatus().getCode()) {
                    // It may have been accepted.
                    case UNAVAILABLE, UNKNOWN -> true;
                    default -> false;
                };
                if (!unanswered || attempt == WAITS_MS.length) {
                    throw error;
                }
            }
            try {
                Thread.sleep((long) (WAITS_MS[attempt] * ThreadLocalRandom.current().nextDouble(0.5, 1.5)));
            } catch (InterruptedException error) {
                throw new IllegalStateException("nobody interrupts the threads of the front", error);
            }
        }
    }

    /** A live instance is 409: "An instance with ID 'nightly' already exists." */
    private static void refuse(HttpExchange exchange, StatusRuntimeException why) throws IOException {
        int code = switch (why.getStatus().getCode()) {
            case ALREADY_EXISTS -> 409;
            case INVALID_ARGUMENT -> 400;
            case UNAVAILABLE -> 503;
            default -> 500;
        };
        answer(exchange, code, String.valueOf(why.getStatus().getDescription()));
    }

    /** Where the instance is read and controlled: at the Soloist server, by the URLs that Durable Functions has. */
    private Map<String, String> checkStatus(String id) {
        String instance = server + "/runtime/webhooks/durabletask/instances/" + encode(id);
        Map<String, String> payload = new LinkedHashMap<>();
        payload.put("id", id);
        payload.put("statusQueryGetUri", instance + "?taskHub=default");
        payload.put("sendEventPostUri", instance + "/raiseEvent/{eventName}?taskHub=default");
        payload.put("terminatePostUri", instance + "/terminate?reason={text}&taskHub=default");
        payload.put("purgeHistoryDeleteUri", instance + "?taskHub=default");
        payload.put("restartPostUri", instance + "/restart?taskHub=default");
        payload.put("suspendPostUri", instance + "/suspend?reason={text}&taskHub=default");
        payload.put("resumePostUri", instance + "/resume?reason={text}&taskHub=default");
        return payload;
    }

    private static void answer(HttpExchange exchange, int code, String text) throws IOException {
        answer(exchange, code, "text/plain; charset=utf-8", text);
    }

    private static void answer(HttpExchange exchange, int code, String type, String text) throws IOException {
        byte[] body = text.getBytes(UTF_8);
        exchange.getResponseHeaders().set("Content-Type", type);
        exchange.sendResponseHeaders(code, body.length);
        exchange.getResponseBody().write(body);
    }

    /** `+` means itself in a path. */
    private static String decode(String part) {
        return URLDecoder.decode(part.replace("+", "%2B"), UTF_8);
    }

    private static String encode(String part) {
        return URLEncoder.encode(part, UTF_8).replace("+", "%20");
    }
}
