using Grpc.Core;
using Grpc.Net.Client;
using Soloist.V1;

/// <summary>Prints every transition of an instance until it has ended, over lost connections.</summary>
static class Watch
{
    /// <summary>
    /// A stream that breaks is followed by one from where it broke: each transition once and in order.
    /// </summary>
    public static async Task<int> RunAsync(string server, string instanceId)
    {
        using GrpcChannel channel = GrpcChannel.ForAddress(server);
        OrchestrationService.OrchestrationServiceClient soloist = new(channel);
        WatchStatusRequest request = new() { InstanceId = instanceId, UntilTerminal = true };
        while (true)
        {
            try
            {
                using AsyncServerStreamingCall<WatchStatusResponse> call = soloist.WatchStatus(request);
                await foreach (WatchStatusResponse item in call.ResponseStream.ReadAllAsync())
                {
                    if (item.Heartbeat)
                    {
                        continue;
                    }

                    request.FromRevision = item.Status.Revision;
                    if (item.Resync)
                    {
                        Console.WriteLine("some transitions are no longer kept; from here on:");
                    }

                    Console.WriteLine($"{item.Sequence} {item.Status.RuntimeStatus} {item.Status.ExecutionId}");
                }

                return 0;
            }
            catch (RpcException error) when (IsLost(error))
            {
                await Task.Delay(Random.Shared.Next(200, 1000));
            }
            catch (RpcException error)
            {
                Console.Error.WriteLine(error.Status.Detail);
                return 1;
            }
        }
    }

    /// <summary>What a server that is away, a proxy, or a connection that breaks leads to.</summary>
    static bool IsLost(RpcException error) =>
        error.StatusCode is StatusCode.Unavailable or StatusCode.Unknown or StatusCode.Internal or StatusCode.Cancelled;
}
