/**
 * The adapter side of the Debug Adapter Protocol: requests to motions, questions and changes of a Session. One guest a connection.
 * A request that cannot be done is answered with one sentence, and the session goes on.
 */
import { DebugSession, ExitedEvent, InvalidatedEvent, OutputEvent, Response, TerminatedEvent } from '@vscode/debugadapter';
import type { DebugProtocol } from '@vscode/debugprotocol';
import type { CommandResult } from '../commands/command';
import { tracedExit } from '../commands/exit-trace';
import { DebugError, type Motion, type Stop } from '../target';
import { DapBreakpoints } from './breakpoints';
import type { Debuggee, OpenDebuggee } from './debuggee';
import { filterOfEnd } from './exception-filters';
import { THREAD, type ClientFeatures, type DapContext, type Reply } from './request';
import { REQUESTS } from './requests';
import { stoppedBody } from './stopped';
import { VariableStore } from './variables';
import { Work } from './work';

/** Ids of error messages: what the user can change, and what is a mistake of ours. */
const REFUSED = 1;
const INTERNAL = 2;

const textOf = (error: unknown): string =>
  error instanceof DebugError ? error.message : `internal error: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`;

interface Open {
  readonly debuggee: Debuggee;
  readonly breakpoints: DapBreakpoints;
  readonly variables: VariableStore;
}

class StoppedEvent implements DebugProtocol.StoppedEvent {
  readonly seq = 0;
  readonly type = 'event';
  readonly event = 'stopped';
  constructor(readonly body: DebugProtocol.StoppedEvent['body']) {}
}

export class DapAdapter extends DebugSession implements DapContext {
  client: ClientFeatures = { columnsStartAt1: true, supportsInvalidatedEvent: false, supportsMemoryEvent: false };
  /** Resolves when the client has gone. */
  private readonly closed: Promise<void>;
  private resolveClosed: () => void = () => {};
  private opened: Open | undefined;
  private readonly printed: number[] = [];
  private readonly decoder = new TextDecoder();
  private readonly work = new Work(() => this.flush());
  private backward = false;
  private begun = false;
  private over = false;
  /** What the client was told last. */
  private shown: Stop | undefined;

  constructor(private readonly openDebuggee: OpenDebuggee) {
    super();
    this.closed = new Promise((resolve) => (this.resolveClosed = resolve));
    // The library would end the process at a message that is no JSON.
    this.removeAllListeners('error');
    this.on('error', (event: { readonly body?: unknown }) => this.note(`a message was not understood: ${String(event.body)}`));
  }

  /** Until the client disconnects, or goes away. */
  serve(input: NodeJS.ReadableStream, output: NodeJS.WritableStream): Promise<void> {
    input.on('end', () => this.shutdown()).on('close', () => this.shutdown());
    this.start(input, output);
    return this.closed.then(() => this.opened?.debuggee.close());
  }

  /** The client has gone. */
  override shutdown(): void {
    this.work.drop();
    this.over = true;
    this.resolveClosed();
  }

  // ---- requests ----

  protected override dispatchRequest(message: DebugProtocol.Request): void {
    if (typeof message.command !== 'string' || !Number.isInteger(message.seq))
      return this.note('a message was not understood: a request has a command and a seq');
    void this.answer(message);
  }

  private async answer(message: DebugProtocol.Request): Promise<void> {
    let reply: Reply;
    try {
      const row = REQUESTS.get(message.command);
      if (row === undefined) throw new DebugError(`there is no request "${message.command}"`);
      reply = await row.run(this, message.arguments);
    } catch (error) {
      return this.refuse(message, error);
    }
    const response: DebugProtocol.Response = new Response(message);
    if (reply.body !== undefined) response.body = reply.body;
    this.sendResponse(response);
    try {
      reply.after?.();
    } catch (error) {
      this.note(textOf(error));
    }
  }

  private refuse(message: DebugProtocol.Request, error: unknown): void {
    const refused = error instanceof DebugError;
    const text = refused ? error.message : `internal error: ${error instanceof Error ? error.message : String(error)}`;
    if (!refused && error instanceof Error) this.note(error.stack ?? error.message);
    const response: DebugProtocol.ErrorResponse = { ...new Response(message, text), success: false, message: text, body: {} };
    // Not `format` with the text itself: braces in it would be placeholders.
    response.body.error = { id: refused ? REFUSED : INTERNAL, format: '{_text}', variables: { _text: text }, showUser: true };
    this.sendResponse(response);
  }

  send(event: DebugProtocol.Event): void {
    this.sendEvent(event);
  }

  tell(text: string): void {
    this.flush();
    this.sendEvent(new OutputEvent(`${text}\n`, 'console'));
  }

  private note(text: string): void {
    this.sendEvent(new OutputEvent(`${text}\n`, 'stderr'));
  }

  // ---- the debuggee ----

  private get current(): Open {
    if (this.opened === undefined) throw new DebugError('there is no guest yet: launch one, or attach to a recording or a snapshot');
    return this.opened;
  }
  get debuggee(): Debuggee {
    return this.current.debuggee;
  }
  get breakpoints(): DapBreakpoints {
    return this.current.breakpoints;
  }
  get variables(): VariableStore {
    return this.current.variables;
  }
  get running(): boolean {
    return this.work.busy;
  }
  get standing(): Debuggee {
    const { debuggee } = this.current;
    if (this.running) throw new DebugError('the guest is running: pause it first');
    if (this.over) throw new DebugError('the guest has ended');
    return debuggee;
  }

  open(how: 'launch' | 'attach', args: Readonly<Record<string, unknown>>): void {
    if (this.opened !== undefined) throw new DebugError('there is a guest already: a connection debugs one');
    const debuggee = this.openDebuggee(how, args, {
      console: (byte) => void this.printed.push(byte),
      exit: (record) => {
        const traced = this.opened && tracedExit(this.opened.debuggee.interpreter, record);
        if (traced === undefined) return;
        this.tell(traced.text);
      },
      warn: (text) => this.note(text),
    });
    this.opened = { debuggee, breakpoints: new DapBreakpoints(debuggee.session), variables: new VariableStore(debuggee) };
    this.sendEvent(new OutputEvent(`${debuggee.session.description}\n`, 'console'));
    for (const text of debuggee.notes) this.note(text);
  }

  /** Everything is set. */
  begin(): void {
    if (this.begun) return;
    this.begun = true;
    const { session, stopOnEntry } = this.debuggee;
    if (!stopOnEntry) return this.move(session.resume());
    const text = `at instruction ${session.position.instructions}`;
    this.sendEvent(new StoppedEvent({ reason: 'entry', description: 'Paused on entry', text, threadId: THREAD, allThreadsStopped: true }));
  }

  end(close: boolean): void {
    this.work.drop();
    this.flush();
    if (!this.over && !close) this.sendEvent(new TerminatedEvent());
    this.over = true;
    if (close) this.resolveClosed();
  }

  // ---- moving ----

  move(motion: Motion, backward = false): void {
    this.moving(backward);
    this.work.start(
      motion,
      (stop) => this.stopped(stop),
      (error) => this.failed(error),
    );
  }

  private moving(backward: boolean): void {
    this.backward = backward;
    this.variables.reset();
  }

  command(line: string): Promise<CommandResult> {
    const { interpreter } = this.debuggee;
    // Between two pieces of what goes on there is room for a command that is done at once.
    if (this.running) return Promise.resolve(interpreter.perform(line));
    return new Promise((resolve, reject) => {
      this.moving(true);
      this.work.start(
        interpreter.execute(line),
        (result) => {
          resolve(result);
          // The answer goes out first.
          setImmediate(() => this.commanded(result));
        },
        reject,
      );
    });
  }

  private commanded({ stop, quit, changed }: CommandResult): void {
    if (quit === true) this.end(false);
    else if (stop !== undefined) this.stopped(stop);
    else if (changed === true) this.changed();
  }

  settled(): Promise<void> {
    return this.running && this.backward ? this.work.settled() : Promise.resolve();
  }

  pause(): void {
    if (this.running) this.debuggee.session.interrupt();
  }

  changed(): void {
    this.variables.reset();
    if (this.client.supportsInvalidatedEvent) this.sendEvent(new InvalidatedEvent(['all']));
  }

  private stopped(stop: Stop): void {
    if (this.over) return;
    const { debuggee, breakpoints } = this.current;
    if (stop.kind === 'ended' && this.isTheEnd(stop)) {
      this.note(stop.explanation);
      this.sendEvent(new ExitedEvent(debuggee.exitCode(stop)));
      return this.end(false);
    }
    this.shown = stop;
    this.sendEvent(new StoppedEvent(stoppedBody(debuggee.session, stop, breakpoints)));
  }

  /** Whether there is nobody who wants to look at it, or has not yet. */
  private isTheEnd(stop: Extract<Stop, { kind: 'ended' }>): boolean {
    if (this.shown?.kind === 'ended') return true;
    if (this.debuggee.stopAtEnd) return false;
    const filter = filterOfEnd(stop);
    const exitShown = this.shown?.kind === 'exit' && this.shown.exit.handler === filter;
    return filter === undefined || exitShown || !this.breakpoints.filters.has(filter);
  }

  /** A motion that could not be made, or a condition that could not be asked. */
  private failed(error: unknown): void {
    const text = textOf(error);
    this.note(text);
    this.sendEvent(
      new StoppedEvent({ reason: 'pause', description: 'Paused on an error', text: text.split('\n', 1)[0], threadId: THREAD, allThreadsStopped: true }),
    );
  }

  /** Hands on what the guest has printed. */
  private flush(): void {
    if (this.printed.length === 0) return;
    const text = this.decoder.decode(Uint8Array.from(this.printed.splice(0)), { stream: true });
    if (text !== '') this.sendEvent(new OutputEvent(text, 'stdout'));
  }
}
