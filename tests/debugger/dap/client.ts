/** A client of the adapter as editors are one, connected within this process. */
import { createServer, type AddressInfo, type Server } from 'node:net';
import { join } from 'node:path';
import { DebugClient } from '@vscode/debugadapter-testsupport';
import type { DebugProtocol } from '@vscode/debugprotocol';
import { openDebuggee } from '../../../cli/dap-guest';
import { DapAdapter } from '../../../debugger/dap/adapter';

export const image = (name: string): string => join(__dirname, `../../../guests/bundled/${name}/${name}.elf`);

type Stopped = DebugProtocol.StoppedEvent['body'];
type Attributes = Readonly<Record<string, unknown>>;

export class TestClient extends DebugClient {
  console = '';
  /** What the adapter says beside the guest's console. */
  notes = '';
  readonly events: string[] = [];
  private server: Server | undefined;

  static async connect(): Promise<TestClient> {
    const client = new TestClient('', '', 'vmexit');
    const server = createServer((socket) => {
      socket.on('error', () => {});
      void new DapAdapter(openDebuggee).serve(socket, socket).then(() => socket.end());
    });
    await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
    client.server = server;
    client.watch();
    await client.start((server.address() as AddressInfo).port);
    return client;
  }

  watch(): void {
    this.defaultTimeout = 30_000;
    this.on('output', ({ body }: DebugProtocol.OutputEvent) => {
      if (body.category === 'stdout') this.console += body.output;
      else this.notes += body.output;
    });
    for (const event of ['initialized', 'stopped', 'exited', 'terminated', 'invalidated', 'memory']) this.on(event, () => this.events.push(event));
  }

  override async stop(): Promise<void> {
    await super.stop();
    this.server?.close();
  }

  /** Launches, gives what `configure` gives, and says that all is set; answers where it stops first. */
  async run(attributes: Attributes, configure: () => Promise<unknown> = async () => {}, how: 'launch' | 'attach' = 'launch'): Promise<Stopped> {
    await this.initializeRequest({
      adapterID: 'vmexit',
      linesStartAt1: true,
      columnsStartAt1: true,
      pathFormat: 'path',
      supportsInvalidatedEvent: true,
      supportsMemoryEvent: true,
    });
    const initialized = this.waitForEvent('initialized');
    await this.send(how, { memory: '8M', ...attributes });
    await initialized;
    await configure();
    return this.stopAfter(() => this.configurationDoneRequest());
  }

  /** The stop that a request leads to. */
  async stopAfter(act: () => Promise<unknown>): Promise<Stopped> {
    const stopped = this.waitForEvent('stopped');
    await act();
    return (await stopped).body as Stopped;
  }

  /** The message with which a request is refused. */
  async refusal(command: string, args: Attributes = {}): Promise<string> {
    try {
      await this.send(command, args);
    } catch (error) {
      return (error as Error).message;
    }
    throw new Error(`${command} was not refused`);
  }

  async repl(line: string): Promise<string> {
    return (await this.evaluateRequest({ expression: line, context: 'repl' })).body.result;
  }

  async value(expression: string): Promise<bigint> {
    const { body } = await this.evaluateRequest({ expression, context: 'watch' });
    return BigInt(body.result.split(' ')[0]);
  }

  /** Values by name of the scope whose name begins so. */
  async scope(name: string): Promise<Map<string, DebugProtocol.Variable>> {
    const { variablesReference } = await this.scopeNamed(name);
    const { body } = await this.variablesRequest({ variablesReference });
    return new Map(body.variables.map((v) => [v.name, v]));
  }

  async scopeNamed(name: string): Promise<DebugProtocol.Scope> {
    const { body: trace } = await this.stackTraceRequest({ threadId: 1 });
    const { body } = await this.scopesRequest({ frameId: trace.stackFrames[0].id });
    const scope = body.scopes.find((s) => s.name.startsWith(name));
    if (scope === undefined) throw new Error(`there is no scope ${name}: ${body.scopes.map((s) => s.name).join(', ')}`);
    return scope;
  }
}
