import { Activity } from '../../cpu/cpu';
import { longModeMachine, type LongModeMachine } from './long-mode-machine';
import type { CpuProfile } from '../../cpu/interfaces';
import { R } from '../../cpu/layout';

const IDT = 0x8000;
const GDT = 0x9000;
const HANDLERS = 0xa000;
export const STACK = 0x30_0000;
/** RFLAGS in an interrupt frame without an error code, as an offset from RSP. */
const FRAME_RFLAGS = 16;
const RF = 0x1_0000n;
const HAS_ERROR_CODE = new Set([8, 10, 11, 12, 13, 14, 17]);

/** An event as its handler finds it. */
export interface Delivered {
  readonly vector: number;
  /** Pushed. */
  readonly rip: number;
  readonly rflags: number;
  readonly dr6: number;
  /** Instructions that had retired. */
  readonly at: number;
}

export interface ExceptionMachine extends LongModeMachine {
  readonly delivered: Delivered[];
  /** Code at `start` until its HLT at `end`, in compiled runs or by single steps. */
  execute(hex: string, how?: 'runs' | 'steps'): Delivered[];
}

export const CODE = 0x1_0000;

/**
 * A machine in 64-bit mode with an IDT whose handlers return at once; after an instruction breakpoint with RF = 1. A fault with an error
 * code ends the run.
 */
export function exceptionMachine(profile?: CpuProfile): ExceptionMachine {
  const m = longModeMachine(16, profile);
  const { memory, cpu, engine } = m;
  for (let vector = 0; vector < 256; vector++) {
    const handler = HANDLERS + (HAS_ERROR_CODE.has(vector) ? 8 : 0);
    memory.write64(IDT + vector * 16, (BigInt(handler) & 0xffffn) | (8n << 16n) | (0x8en << 40n) | ((BigInt(handler) >> 16n) << 48n));
    memory.write64(IDT + vector * 16 + 8, 0n);
  }
  // iretq; and add rsp,8; iretq
  memory.writeBytes(HANDLERS, Buffer.from('48cf909090909090' + '4883c40848cf', 'hex'));
  memory.write64(GDT + 8, 0x00af_9b00_0000_ffffn);
  memory.write64(GDT + 16, 0x00cf_9300_0000_ffffn);
  cpu.set64(R.IDTR_BASE, BigInt(IDT));
  cpu.set64(R.IDTR_LIMIT, 0xfffn);
  cpu.set64(R.GDTR_BASE, BigInt(GDT));
  cpu.set64(R.GDTR_LIMIT, 0x17n);
  cpu.setGpr(4, BigInt(STACK));

  const delivered: Delivered[] = [];
  cpu.observer = {
    deliver: (_, event) => {
      const rsp = Number(cpu.gpr(4)) + (event.errorCode === undefined ? 0 : 8);
      const rip = Number(memory.read64(rsp));
      const rflags = memory.read64(rsp + FRAME_RFLAGS);
      delivered.push({ vector: event.vector, rip: rip - CODE, rflags: Number(rflags), dr6: cpu.get32(R.DR6), at: cpu.retired() });
      cpu.set32(R.DR6, 0xffff_0ff0);
      if (event.errorCode !== undefined || event.vector === 6) engine.stop();
      if (event.vector === 1) memory.write64(rsp + FRAME_RFLAGS, rflags | RF);
    },
  };
  const execute = (hex: string, how: 'runs' | 'steps' = 'runs'): Delivered[] => {
    const bytes = Buffer.from(hex.replace(/[^0-9a-f]/g, ''), 'hex');
    memory.writeBytes(CODE, bytes);
    memory.write8(CODE + bytes.length, 0xf4);
    cpu.rip = BigInt(CODE);
    // Less than a block of budget makes single steps.
    if (how === 'runs') engine.run(cpu.now() + 20_000);
    else for (let n = 1; n < 5000 && cpu.activity === Activity.Active; n++) if (engine.run(cpu.now() + 1) === 'stopped') break;
    return delivered;
  };
  return { ...m, delivered, execute };
}
