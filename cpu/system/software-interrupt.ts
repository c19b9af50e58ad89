/** INT n, INT3, INT1, INTO: events with the length of their instruction, delivered by exceptions.ts. */
import { Flag, Vector, type Cpu } from '../cpu';
import type { Insn } from '../decoder/insn';
import { EventType, Sensitive } from '../interfaces';
import type { SystemInstructions } from './table';

const raise = (cpu: Cpu, insn: Insn, vector: number, type: EventType): void =>
  cpu.endWith({ vector, type, errorCode: undefined, payload: 0n, length: insn.length });

function interrupt(cpu: Cpu, insn: Insn): void {
  const vector = insn.imm & 0xff;
  cpu.intercept(Sensitive.SOFTWARE_INTERRUPT, vector);
  // In virtual-8086 mode only with IOPL 3.
  if (cpu.v86 && cpu.iopl < 3) cpu.gp();
  raise(cpu, insn, vector, EventType.SoftwareInterrupt);
}

function icebp(cpu: Cpu, insn: Insn): void {
  cpu.intercept(Sensitive.ICEBP);
  raise(cpu, insn, Vector.DB, EventType.PrivilegedSoftwareException);
}

function into(cpu: Cpu, insn: Insn): void {
  if ((cpu.rflags() & Flag.OF) !== 0) raise(cpu, insn, Vector.OF, EventType.SoftwareException);
}

export const SOFTWARE_INTERRUPTS: SystemInstructions = {
  INT: { execute: interrupt, endsBlock: true },
  INT3: { execute: (cpu, insn) => raise(cpu, insn, Vector.BP, EventType.SoftwareException), endsBlock: true },
  INT1: { execute: icebp, endsBlock: true },
  INTO: { execute: into, endsBlock: true },
};
