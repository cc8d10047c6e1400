using System.Text.Json.Serialization;
using Microsoft.DurableTask;
using Microsoft.DurableTask.Worker;

/// <summary>The worker: a regular orchestration and an eternal one, on Microsoft's Durable Task SDK.</summary>
static class Worker
{
    public static async Task RunAsync(string server)
    {
        HostApplicationBuilder builder = Host.CreateApplicationBuilder();
        builder.Services.AddDurableTaskWorker(worker =>
        {
            worker.AddTasks(tasks =>
            {
                tasks.AddOrchestrator<Report>();
                tasks.AddOrchestrator<Refresh>();
                tasks.AddActivity<Collect>();
                tasks.AddActivity<AddUp>();
                tasks.AddActivity<Publish>();
                tasks.AddActivity<RefreshCache>();
            });
            worker.UseGrpc(server);
        });
        await builder.Build().RunAsync();
    }
}

/// <summary>Three activities, one after the other, and it is done.</summary>
[DurableTask("report")]
sealed class Report : TaskOrchestrator<string, string>
{
    public override async Task<string> RunAsync(TaskOrchestrationContext context, string of)
    {
        int[] figures = await context.CallActivityAsync<int[]>(nameof(Collect), of);
        int total = await context.CallActivityAsync<int>(nameof(AddUp), figures);
        return await context.CallActivityAsync<string>(nameof(Publish), new Figures(of, total));
    }
}

sealed record Figures(string Of, int Total);

sealed class Collect : TaskActivity<string, int[]>
{
    public override Task<int[]> RunAsync(TaskActivityContext context, string of)
    {
        Console.WriteLine($"collecting the figures of {of}");
        return Task.FromResult<int[]>([20, 21, 1]);
    }
}

sealed class AddUp : TaskActivity<int[], int>
{
    public override Task<int> RunAsync(TaskActivityContext context, int[] figures) => Task.FromResult(figures.Sum());
}

sealed class Publish : TaskActivity<Figures, string>
{
    public override Task<string> RunAsync(TaskActivityContext context, Figures figures) =>
        Task.FromResult($"the report of {figures.Of}: {figures.Total}");
}

/// <summary>
/// Never ends: each generation does its work, waits, and continues as the next one, under the same instance id.
/// </summary>
[DurableTask("refresh")]
sealed class Refresh : TaskOrchestrator<RefreshSettings?, object?>
{
    public override async Task<object?> RunAsync(TaskOrchestrationContext context, RefreshSettings? settings)
    {
        settings ??= new RefreshSettings();
        await context.CallActivityAsync(nameof(RefreshCache), settings.Generation);
        context.SetCustomStatus(settings.Generation);
        await context.CreateTimer(TimeSpan.FromSeconds(settings.WaitSeconds), CancellationToken.None);
        context.ContinueAsNew(settings with { Generation = settings.Generation + 1 });
        return null;
    }
}

sealed record RefreshSettings
{
    [JsonPropertyName("waitSeconds")]
    public double WaitSeconds { get; init; } = 5;

    [JsonPropertyName("generation")]
    public int Generation { get; init; } = 1;
}

sealed class RefreshCache : TaskActivity<int, object?>
{
    public override Task<object?> RunAsync(TaskActivityContext context, int generation)
    {
        Console.WriteLine($"generation {generation}");
        return Task.FromResult<object?>(null);
    }
}
