import { R } from '../../cpu/layout';
import { GUEST_CODE, NPT, svmBench } from './bench';

describe('a snapshot', () => {
  it('in the guest goes on as the original did', () => {
    const b = svmBench();
    // INC RAX until an exit by the pause filter.
    b.create([0x48, 0xff, 0xc0, 0xf3, 0x90, 0xeb, 0xf9], {
      INTERCEPTS_3: 0x8080_0000,
      PAUSE_FILTER_COUNT: 1000,
      TSC_OFFSET: 99,
      GUEST_ASID: 5,
      V_INTR: 0x100_0003,
    });
    b.enter(200);
    expect(b.svm.guestMode).toBe(true);
    const ram = b.memory.u8.slice(b.memory.host(0), b.memory.host(0) + 0x70_0000);
    const saved = structuredClone({ svm: b.svm.saveState(), engine: b.engine.saveState() });
    const finish = (): unknown => {
      b.engine.run(b.cpu.now() + 100_000);
      return [b.exitCode, b.read('RAX'), b.cpu.now(), b.read('V_INTR'), b.svm.exits];
    };
    const first = finish();

    b.svm.guestMode = false;
    b.cpu.mmu.asid = 0;
    b.memory.writeBytes(0, ram);
    b.svm.restoreState(saved.svm);
    b.engine.restoreState(saved.engine);
    expect(b.svm.guestMode).toBe(true);
    expect([b.cpu.mmu.asid, b.cpu.get64(R.GUEST_TSC_OFFSET), b.svm.npt.active]).toEqual([5, 99n, true]);
    expect(finish()).toEqual(first);
    expect(first).toEqual([0x77n, 1000n, expect.any(Number), 0x100_0003n, 1]);
  });

  it('has the cached VMCBs, which memory may not have', () => {
    const b = svmBench();
    b.run([0x0f, 0xa2]);
    const saved = structuredClone(b.svm.saveState());
    b.svm.restoreState(saved);
    b.write({ RIP: GUEST_CODE, INTERCEPTS_3: 0x8004_0000, N_CR3: NPT, VMCB_CLEAN: 0x1fff });
    b.enter();
    expect(b.exitCode).toBe(0x81n);
  });
});
