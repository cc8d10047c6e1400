using System.Text.Json;
using Grpc.Core;
using Grpc.Net.Client;
using Soloist.V1;

/// <summary>
/// The HTTP front: POST /orchestrators/{functionName}/{instanceId} starts a singleton, or answers 409.
/// </summary>
static class Front
{
    // Before each further attempt.
    static readonly double[] WaitsInSeconds = [0.1, 0.4, 1.6, 6.4];

    public static async Task RunAsync(string server, string port)
    {
        using GrpcChannel channel = GrpcChannel.ForAddress(server);
        OrchestrationService.OrchestrationServiceClient soloist = new(channel);
        WebApplication app = WebApplication.CreateBuilder().Build();
        app.MapPost(
            "/orchestrators/{functionName}/{instanceId}",
            (string functionName, string instanceId, HttpContext http) =>
                HttpStartAsync(soloist, server, functionName, instanceId, http));
        await app.RunAsync($"http://127.0.0.1:{port}");
    }

    static async Task<IResult> HttpStartAsync(
        OrchestrationService.OrchestrationServiceClient soloist,
        string server,
        string functionName,
        string instanceId,
        HttpContext http)
    {
        using StreamReader reader = new(http.Request.Body);
        string body = await reader.ReadToEndAsync();
        try
        {
            if (body.Length > 0)
            {
                JsonDocument.Parse(body).Dispose();
            }
        }
        catch (JsonException error)
        {
            return Results.Text($"The body is no JSON: {error.Message}", statusCode: StatusCodes.Status400BadRequest);
        }

        try
        {
            await StartAsync(soloist, functionName, instanceId, body);
        }
        catch (RpcException error)
        {
            // A live instance is 409: "An instance with ID 'nightly' already exists."
            return Results.Text(error.Status.Detail, statusCode: error.StatusCode switch
            {
                StatusCode.AlreadyExists => StatusCodes.Status409Conflict,
                StatusCode.InvalidArgument => StatusCodes.Status400BadRequest,
                StatusCode.Unavailable => StatusCodes.Status503ServiceUnavailable,
                _ => StatusCodes.Status500InternalServerError,
            });
        }

        // Where the instance is read and controlled: at the Soloist server, by the URLs that Durable Functions has.
        string instance = $"{server}/runtime/webhooks/durabletask/instances/{Uri.EscapeDataString(instanceId)}";
        string statusQuery = $"{instance}?taskHub=default";
        http.Response.Headers.RetryAfter = "10";
        return Results.Accepted(statusQuery, new
        {
            id = instanceId,
            statusQueryGetUri = statusQuery,
            sendEventPostUri = $"{instance}/raiseEvent/{{eventName}}?taskHub=default",
            terminatePostUri = $"{instance}/terminate?reason={{text}}&taskHub=default",
            purgeHistoryDeleteUri = statusQuery,
            restartPostUri = $"{instance}/restart?taskHub=default",
            suspendPostUri = $"{instance}/suspend?reason={{text}}&taskHub=default",
            resumePostUri = $"{instance}/resume?reason={{text}}&taskHub=default",
        });
    }

    /// <summary>
    /// Checks and starts in one step: of any number of callers at the same moment, one has started it.
    /// </summary>
    static async Task StartAsync(
        OrchestrationService.OrchestrationServiceClient soloist, string functionName, string instanceId, string body)
    {
        StartSingletonRequest request = new()
        {
            InstanceId = instanceId,
            FunctionName = functionName,
            // The same in every attempt, so that none of them starts a second one.
            RequestId = Guid.NewGuid().ToString(),
        };
        if (body.Length > 0)
        {
            request.Input = body;
        }

        for (int attempt = 0; ; attempt++)
        {
            try
            {
                await soloist.StartSingletonAsync(request, deadline: DateTime.UtcNow.AddSeconds(30));
                return;
            }
            catch (RpcException error) when (IsUnanswered(error) && attempt < WaitsInSeconds.Length)
            {
                // It may have been accepted: ask again.
            }

            await Task.Delay(TimeSpan.FromSeconds(WaitsInSeconds[attempt] * (0.5 + Random.Shared.NextDouble())));
        }
    }

    static bool IsUnanswered(RpcException error) =>
        error.StatusCode is StatusCode.Unavailable or StatusCode.Unknown;
}
