import { CodeSharing } from '../../cpu/code-sharing';
import { Cpu } from '../../cpu/cpu';
import { Engine } from '../../cpu/engine';
import { R } from '../../cpu/layout';
import { Scheduler } from '../../devices/bus';
import { PhysicalMemory } from '../../memory/physical-memory';
import { TEST_PROFILE } from './long-mode-machine';

const WRITER = 0x1_0000;
const CODE = 0x2_0000;

/** Two processors on one memory, in 64-bit mode; the first 2 MiB are mapped one to one. */
function twoProcessors(): { readonly memory: PhysicalMemory; readonly engines: readonly Engine[] } {
  const memory = new PhysicalMemory(4 << 20);
  memory.write64(0x10_0000, 0x10_1007n);
  memory.write64(0x10_1000, 0x10_2007n);
  memory.write64(0x10_2000, 0x87n);
  const sharing = new CodeSharing(memory, TEST_PROFILE, 2);
  const engines = [0, 1].map((index) => {
    const cpu = new Cpu(memory, TEST_PROFILE, index);
    const engine = new Engine(cpu, new Scheduler({ now: () => cpu.now() }), sharing);
    cpu.set64(R.CR0, 0x8001_0033n);
    cpu.set64(R.CR4, 0x620n);
    cpu.set64(R.EFER, 0xd01n);
    cpu.set64(R.CR3, 0x10_0000n);
    for (let s = 0; s < 6; s++) cpu.setSegment(s, s === 1 ? 8 : 16, s === 1 ? 0xa09b : 0xc093, 0xffff_ffff, 0n);
    cpu.setRflags(2);
    cpu.modeChanged();
    cpu.mmu.flushAll();
    return engine;
  });
  return { memory, engines };
}

function run(engine: Engine, at: number, rax = 0n): bigint {
  const { cpu } = engine;
  cpu.rip = BigInt(at);
  cpu.activity = 0;
  cpu.setGpr(0, rax);
  cpu.setGpr(7, BigInt(CODE));
  engine.run(cpu.now() + 100);
  return cpu.gpr(0);
}

// SDM "Handling Self- and Cross-Modifying Code": what one processor writes is what the others execute (after a serialising instruction).
test.each([
  [0, 1],
  [1, 0],
])('processor %i writes code of processor %i, to a page that both had written to before it held code', (writer, reader) => {
  const { memory, engines } = twoProcessors();
  // mov [rdi+1],al; hlt
  memory.writeBytes(WRITER, Uint8Array.of(0x88, 0x47, 0x01, 0xf4));
  // mov eax,imm32; hlt
  memory.writeBytes(CODE, Uint8Array.of(0xb8, 0, 0, 0, 0, 0xf4));
  for (const engine of engines) run(engine, WRITER, 1n);
  expect(run(engines[reader], CODE)).toBe(1n);
  run(engines[writer], WRITER, 2n);
  expect(run(engines[reader], CODE)).toBe(2n);
  run(engines[writer], WRITER, 3n);
  expect(run(engines[reader], CODE)).toBe(3n);
});
