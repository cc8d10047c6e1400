// Front, worker and watch of the sample: which one, the first argument says.

string server = (Environment.GetEnvironmentVariable("SOLOIST_SERVER") ?? "http://localhost:4001").TrimEnd('/');
string port = Environment.GetEnvironmentVariable("FRONT_PORT") ?? "7071";

switch (args)
{
    case ["front"]:
        await Front.RunAsync(server, port);
        return 0;
    case ["worker"]:
        await Worker.RunAsync(server);
        return 0;
    case ["watch", string instanceId]:
        return await Watch.RunAsync(server, instanceId);
    default:
        Console.Error.WriteLine("Usage: front | worker | watch INSTANCE-ID");
        return 2;
}
