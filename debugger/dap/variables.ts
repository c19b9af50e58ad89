/** Registers, control structures and the last exit as the scopes and variables of a frame. References live until the guest moves. */
import { Handles } from '@vscode/debugadapter';
import type { DebugProtocol } from '@vscode/debugprotocol';
import type { ControlField } from '../control-structure';
import { explainExit } from '../explain/explain';
import { hex } from '../inspector';
import { flagNames } from '../listings';
import { registerNamed } from '../registers';
import { DebugError, type RegisterGroup } from '../target';
import type { Debuggee } from './debuggee';
import type { Frame } from './stack';

export type Container =
  | { readonly kind: 'registers'; readonly groups: readonly RegisterGroup[] }
  | { readonly kind: 'segment'; readonly name: string }
  | { readonly kind: 'area'; readonly area: string }
  | { readonly kind: 'exit' }
  | { readonly kind: 'frame'; readonly frame: Frame };

const REGISTER_SCOPES: readonly (readonly [name: string, groups: readonly RegisterGroup[]])[] = [
  ['General', ['general']],
  ['Segments', ['segment']],
  ['Control & debug', ['control', 'debug']],
  ['System MSRs', ['system']],
  ['FPU & SSE', ['fpu', 'sse']],
];
const PARTS = ['base', 'limit', 'access'] as const;

const padded = (value: bigint, bits: number): string => `0x${value.toString(16).padStart(Math.ceil(bits / 4), '0')}`;

export class VariableStore {
  private handles = new Handles<Container>();
  /** Of the last stackTrace; the frame's id is its place, from 1. */
  frames: readonly Frame[] = [];

  constructor(private readonly debuggee: Debuggee) {}

  /** The guest moved or was changed. */
  reset(): void {
    this.handles = new Handles<Container>();
    this.frames = [];
  }

  containerOf(reference: number): Container | undefined {
    return this.handles.get(reference);
  }

  private scope(name: string, container: Container, expensive: boolean): DebugProtocol.Scope {
    const registers = container.kind === 'registers';
    return { name, variablesReference: this.handles.create(container), expensive, ...(registers ? { presentationHint: 'registers' } : {}) };
  }

  scopes(frameId: number): DebugProtocol.Scope[] {
    const frame = this.frames.at(frameId - 1);
    if (frame === undefined || frameId < 1) throw new DebugError(`there is no frame ${frameId} any more: ask for the stack again`);
    // What callers had in their registers is not known, but for these.
    if (frameId > 1) return [this.scope('Frame', { kind: 'frame', frame }, false)];
    const { session } = this.debuggee;
    const registers = REGISTER_SCOPES.map(([name, groups], n) => this.scope(name, { kind: 'registers', groups }, n > 0));
    const exit = session.lastExit === undefined ? [] : [this.scope('Last exit', { kind: 'exit' }, false)];
    return [...registers, ...this.areas().map((area) => this.scope(`${session.control.kind} ${area}`, { kind: 'area', area }, true)), ...exit];
  }

  /** Of the current VMCS or VMCB, if there is one. */
  private areas(): string[] {
    const { control } = this.debuggee.session;
    try {
      void control.address;
    } catch (error) {
      if (error instanceof DebugError) return [];
      throw error;
    }
    return [...new Set(control.fields.map((f) => f.area))];
  }

  private container(reference: number): Container {
    const container = this.handles.get(reference);
    if (container === undefined) throw new DebugError(`there are no variables ${reference} any more: ask for the scopes again`);
    return container;
  }

  variables(reference: number): DebugProtocol.Variable[] {
    const container = this.container(reference);
    const { session } = this.debuggee;
    switch (container.kind) {
      case 'registers':
        return [...new Set(session.registers.filter((r) => container.groups.includes(r.group)).map((r) => r.name.split('.')[0]))].map((name) =>
          this.register(name),
        );
      case 'segment':
        return [
          ...(session.registers.some((r) => r.name === container.name) ? [{ ...this.register(container.name), name: 'selector', variablesReference: 0 }] : []),
          ...PARTS.map((part) => `${container.name}.${part}`)
            .filter((name) => session.registers.some((r) => r.name === name))
            .map((name) => ({ ...this.register(name), name: name.split('.')[1] })),
        ];
      case 'area':
        return session.control.fields.filter((f) => f.area === container.area).map((f) => this.field(f));
      case 'exit':
        return this.exit();
      case 'frame':
        return [this.address('rip', container.frame.address), this.address('rbp', container.frame.base)];
    }
  }

  private register(name: string): DebugProtocol.Variable {
    const { session } = this.debuggee;
    // gdtr and idtr have parts, and no selector.
    const whole = session.registers.some((r) => r.name === name);
    const children = session.registers.some((r) => r.name === `${name}.base`) && !name.includes('.');
    const variablesReference = children ? this.handles.create({ kind: 'segment', name }) : 0;
    if (!whole) return { name, value: padded(session.readRegister(`${name}.base`), 64), type: 'descriptor table', variablesReference };
    const { bits, group } = registerNamed(name);
    const value = session.readRegister(name);
    const text = padded(value, bits);
    return {
      ...{ name, evaluateName: name, type: `${bits} bits`, variablesReference },
      value: name === 'rflags' ? `${text} [${flagNames(value)}]` : group === 'general' ? `${text}${this.debuggee.interpreter.inspector.near(value)}` : text,
      ...(bits === 64 ? { memoryReference: hex(value) } : {}),
    };
  }

  private field(field: ControlField): DebugProtocol.Variable {
    const { name, bits } = field;
    const value = this.debuggee.session.control.read(field);
    return {
      name,
      value: padded(value, bits),
      evaluateName: name,
      type: `${bits} bits`,
      variablesReference: 0,
      presentationHint: { attributes: ['readOnly'] },
    };
  }

  private address(name: string, value: bigint): DebugProtocol.Variable {
    return { name, value: `${padded(value, 64)}${this.debuggee.interpreter.inspector.near(value)}`, variablesReference: 0, memoryReference: hex(value) };
  }

  private exit(): DebugProtocol.Variable[] {
    const { exit, cause, qualification, facts, broken } = explainExit(this.debuggee.session);
    const row = (name: string, value: string): DebugProtocol.Variable => ({ name, value, variablesReference: 0 });
    return [
      row('reason', exit.reason),
      row('number', String(exit.number)),
      this.address('rip', exit.rip),
      row('qualification', hex(exit.qualification)),
      row('why', cause),
      ...(qualification === undefined ? [] : [row('details', qualification)]),
      ...facts.map(([name, value]) => ({ ...row(name, hex(value)), ...(name === 'GUEST_PHYSICAL_ADDRESS' ? { memoryReference: `*${hex(value)}` } : {}) })),
      ...broken.map((rule, n) => row(`broken rule ${n + 1}`, rule)),
      row('handler', exit.handler ?? 'a hypervisor inside the machine'),
      row('outcome', exit.outcome ?? (exit.handler === undefined ? 'up to that hypervisor' : 'the handler has not run yet')),
      row('instructions', String(exit.instructions)),
    ];
  }

  /** Answers the new value. */
  set(reference: number, name: string, text: string): DebugProtocol.Variable {
    const container = this.container(reference);
    if (container.kind === 'registers') return this.write(name, text);
    if (container.kind === 'segment') return this.write(name === 'selector' ? container.name : `${container.name}.${name}`, text);
    throw new DebugError(`${name} cannot be changed here: registers and memory can`);
  }

  private write(name: string, text: string): DebugProtocol.Variable {
    const { session, interpreter } = this.debuggee;
    // Wider than the arithmetic of expressions.
    const value = /^0x[0-9a-f_]+$/i.test(text.trim()) ? BigInt(text.trim().replaceAll('_', '')) : interpreter.inspector.evaluate(text);
    session.writeRegister(name, value);
    return this.register(name);
  }
}
