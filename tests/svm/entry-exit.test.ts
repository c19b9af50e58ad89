import { Activity } from '../../cpu/cpu';
import { Segment } from '../../cpu/decoder/insn';
import { R } from '../../cpu/layout';
import { GUEST_CODE, GUEST_STACK, HOST_CODE, HOST_SAVE_AREA, HOST_TABLES, INVALID, NPT, VMRUN, svmBench } from './bench';

describe('VMRUN loads', () => {
  it('the registers of the save area, and #VMEXIT saves what the guest made of them', () => {
    const b = svmBench();
    // INC RAX; SUB RSP, 8; MOV CR2, RAX; STC; VMMCALL
    b.create([0x48, 0xff, 0xc0, 0x48, 0x83, 0xec, 0x08, 0x0f, 0x22, 0xd0, 0xf9], { RAX: 0x1234_5678_9abc_def0n, CR2: 0x77n, DR6: 0xffff_4ff1n, DR7: 0x455 });
    b.enter();
    expect(b.exitCode).toBe(0x81n);
    expect(b.read('RAX')).toBe(0x1234_5678_9abc_def1n);
    expect(b.read('RSP')).toBe(BigInt(GUEST_STACK - 8));
    expect(b.read('CR2')).toBe(0x1234_5678_9abc_def1n);
    expect(b.read('RFLAGS') & 1n).toBe(1n);
    expect([b.read('DR6'), b.read('DR7')]).toEqual([0xffff_4ff1n, 0x455n]);
    expect([b.read('CR0'), b.read('CR3'), b.read('CR4'), b.read('EFER')]).toEqual([0x8001_0033n, BigInt(HOST_TABLES), 0x6a0n, 0x1d01n]);
  });

  it('segments with twelve attribute bits and 32-bit bases, and saves them', () => {
    const b = svmBench();
    // MOV AX, DS; VMMCALL in 32-bit protected mode without paging: the base of DS applies.
    const code = [0xa1, 0x10, 0x00, 0x00, 0x00];
    b.memory.write32(0x60_0010, 0xcafe_f00d);
    const flat = { CS_ATTRIB: 0xc9b, EFER: 0x1000, CR0: 0x11, CR4: 0 };
    b.run(code, { ...flat, DS_BASE: 0xffff_ffff_0060_0000n, DS_SELECTOR: 0x33, DS_ATTRIB: 0xcf3, DS_LIMIT: 0x1f_ffff });
    expect([b.exitCode, b.read('RAX')]).toEqual([0x81n, 0xcafe_f00dn]);
    expect([b.read('DS_BASE'), b.read('DS_SELECTOR'), b.read('DS_ATTRIB'), b.read('DS_LIMIT')]).toEqual([0x60_0000n, 0x33n, 0xcf3n, 0x1f_ffffn]);
  });

  it('descriptor-table bases in canonical form', () => {
    const b = svmBench();
    b.run([], { GDTR_BASE: 0x8000_1234_5000n, IDTR_BASE: 0x1234_7fff_1234_5000n });
    expect([b.read('GDTR_BASE'), b.read('IDTR_BASE')]).toEqual([0xffff_8000_1234_5000n, 0x7fff_1234_5000n]);
  });

  it('CPL by its field; 0 in real mode, 3 in virtual-8086 mode', () => {
    const b = svmBench();
    const cpl = (patch: Parameters<typeof b.run>[1]): bigint => {
      b.run([], patch);
      return b.read('CPL');
    };
    const real = { EFER: 0x1000, CR0: 0x10, CR4: 0, CS_ATTRIB: 0x9b, CS_BASE: GUEST_CODE, RIP: 0 };
    expect(cpl({ CPL: 3, CS_ATTRIB: 0xafb })).toBe(3n);
    expect(cpl({ ...real, CPL: 3 })).toBe(0n);
    expect(cpl({ ...real, CR0: 0x11, RFLAGS: 0x2_0002 })).toBe(3n);
  });

  it('EFER.LMA as LME and PG have it', () => {
    const b = svmBench();
    b.run([], { EFER: 0x1901 });
    expect(b.read('EFER')).toBe(0x1d01n);
    b.run([], { EFER: 0x1d01, CR0: 0x31, CR4: 0, CS_ATTRIB: 0xc9b });
    expect(b.read('EFER')).toBe(0x1901n);
  });

  it('paged real mode: linear addresses are translated', () => {
    const b = svmBench();
    // Four-Kbyte legacy tables: linear 0 is physical 0x60_0000.
    b.memory.write32(0x50_0000, 0x50_1007);
    b.memory.write32(0x50_1000, 0x60_0007);
    b.create([], { EFER: 0x1000, CR0: 0x8000_0010, CR4: 0, CR3: 0x50_0000, CS_ATTRIB: 0x9b, CS_SELECTOR: 0, RIP: 0x100, CS_LIMIT: 0xffff });
    b.memory.writeBytes(0x60_0100, Uint8Array.from([0xbb, 0x34, 0x12, 0x0f, 0x01, 0xd9]));
    b.enter();
    expect([b.exitCode, b.read('RIP'), b.cpu.gpr16(3)]).toEqual([0x81n, 0x103n, 0x1234]);
  });

  it('PDPEs of a PAE guest without nested paging', () => {
    const b = svmBench();
    b.memory.write64(0x50_0000, 0x50_1001n);
    b.memory.write64(0x50_1000 + 8 * 2, 0x40_0083n);
    b.run([0x40], { NESTED_CONTROL: 0, EFER: 0x1000, CR4: 0x20, CR3: 0x50_0000, CS_ATTRIB: 0xc9b, SS_ATTRIB: 0xc93, RAX: 0xffff_ffffn });
    expect([b.exitCode, b.read('RAX')]).toEqual([0x81n, 0n]);
  });
});

describe('VMRUN and #VMEXIT leave alone', () => {
  it('FS, GS, LDTR, TR, the syscall MSRs, XCR0, DR0-DR3 and general registers other than RAX and RSP', () => {
    const b = svmBench();
    const { cpu } = b;
    b.create([], { FS_BASE: 0x1111, GS_BASE: 0x2222, TR_BASE: 0x3333, LSTAR: 0x4444, SYSENTER_EIP: 0x5555, KERNEL_GS_BASE: 0x6666 });
    cpu.setSegment(Segment.FS, 0x10, 0xc093, 0xffff_ffff, 0x7777n);
    const kept = [R.LSTAR, R.STAR, R.SYSENTER_EIP, R.KERNEL_GS_BASE, R.XCR0, R.DR0, R.DR3];
    kept.forEach((offset, i) => cpu.set64(offset, BigInt(i + 1)));
    for (let r = 1; r < 16; r++) if (r !== 4) cpu.setGpr(r, BigInt(r) << 40n);
    let inGuest: unknown;
    b.svm.observer = { entry: () => (inGuest = [cpu.segmentBase(Segment.FS), cpu.segmentBase(Segment.TR), ...kept.map((offset) => cpu.get64(offset))]) };
    b.enter();
    const expected = [0x7777n, 0x5000n, ...kept.map((_, i) => BigInt(i + 1))];
    expect(inGuest).toEqual(expected);
    expect([cpu.segmentBase(Segment.FS), cpu.segmentBase(Segment.TR), ...kept.map((offset) => cpu.get64(offset))]).toEqual(expected);
    for (let r = 1; r < 16; r++) if (r !== 4) expect(cpu.gpr(r)).toBe(BigInt(r) << 40n);
    expect([b.read('FS_BASE'), b.read('LSTAR')]).toEqual([0x1111n, 0x4444n]);
  });
});

describe('#VMEXIT', () => {
  it('brings the host back behind VMRUN, with GIF 0, breakpoints off and CPL 0', () => {
    const b = svmBench();
    const { cpu } = b;
    b.create();
    cpu.setRflags(0x202 | 0x400);
    cpu.setGpr(4, 0x9_0000n);
    cpu.set64(R.DR7, 0x455n);
    cpu.set64(R.GDTR_BASE, 0x2_0000n);
    cpu.set32(R.IDTR_LIMIT, 0x123);
    b.enter();
    expect(cpu.rip).toBe(BigInt(HOST_CODE + VMRUN.length));
    expect([cpu.gpr(0), cpu.gpr(4)]).toEqual([BigInt(b.vmcb), 0x9_0000n]);
    expect(cpu.rflags()).toBe(0x602);
    expect([cpu.get64(R.CR0), cpu.get64(R.CR3), cpu.get64(R.CR4), cpu.get64(R.EFER)]).toEqual([0x8001_0033n, BigInt(HOST_TABLES), 0x6a0n, 0x1d01n]);
    expect([cpu.get64(R.GDTR_BASE), cpu.get32(R.IDTR_LIMIT), cpu.get64(R.DR7), cpu.cpl]).toEqual([0x2_0000n, 0x123, 0x400n, 0]);
    expect([cpu.selector(Segment.CS), cpu.segmentAccess(Segment.CS), cpu.codeSize]).toEqual([8, 0xa09b, 64]);
    expect(b.svm.gif).toBe(false);
  });

  it('leaves CR2 and DR6 as the guest had them', () => {
    const b = svmBench();
    b.run([], { CR2: 0x1234n, DR6: 0xffff_0ff4n });
    expect([b.cpu.get64(R.CR2), b.cpu.get64(R.DR6)]).toEqual([0x1234n, 0xffff_0ff4n]);
  });

  it('switches the PAT with nested paging only', () => {
    const b = svmBench();
    const GUEST_PAT = 0x0606_0606_0606_0606n;
    const seen: bigint[] = [];
    b.svm.observer = { entry: () => void seen.push(b.cpu.get64(R.PAT)) };
    b.run([], { G_PAT: GUEST_PAT });
    b.run([], { G_PAT: GUEST_PAT, NESTED_CONTROL: 0 });
    expect(seen).toEqual([GUEST_PAT, 0x0007_0406_0007_0406n]);
    expect(b.cpu.get64(R.PAT)).toBe(0x0007_0406_0007_0406n);
  });

  it('takes the host from the host save area: what software wrote there, or shutdown when it is illegal', () => {
    const b = svmBench();
    b.create([0xf4], { INTERCEPTS_3: 0x100_0000 });
    b.svm.observer = { entry: () => b.memory.writeBytes(HOST_SAVE_AREA, new Uint8Array(4096)) };
    expect(b.enter()).toBe('shutdown');
    expect(b.cpu.activity).toBe(Activity.Shutdown);
    expect(b.exitCode).toBe(0x78n);
  });

  it('a 32-bit guest under a 64-bit host, and the host goes on in 64-bit mode', () => {
    const b = svmBench();
    expect(b.run([0x48, 0x40], { EFER: 0x1000, CR0: 0x11, CR4: 0, CS_ATTRIB: 0xc9b, RAX: 5 })).toBe(0x81n);
    expect([b.read('RAX'), b.cpu.codeSize, b.cpu.longMode]).toEqual([5n, 64, true]);
    // A next rIP of 32 bits.
    expect(b.read('NRIP')).toBe(BigInt(GUEST_CODE + 2 + 3));
  });

  it('EXITINFO of shutdown, and no shutdown without its intercept', () => {
    const b = svmBench();
    // UD2 without an IDT.
    expect(b.run([0x0f, 0x0b], { IDTR_LIMIT: 0 })).toBe(0x7fn);
    b.create([0x0f, 0x0b], { IDTR_LIMIT: 0, INTERCEPTS_3: 0 });
    expect(b.enter()).toBe('shutdown');
  });
});

describe('VMRUN of an illegal VMCB', () => {
  it('VMEXIT_INVALID is -1 in 64 bits; the guest state is not touched, the host goes on with GIF 0', () => {
    const b = svmBench();
    b.create([], { GUEST_ASID: 0, RAX: 7, EVENTINJ: 0x8000_0306 });
    b.cpu.setRflags(0x202);
    const exits: number[] = [];
    b.svm.observer = { exit: (_svm, code) => exits.push(code) };
    b.enter();
    expect(b.exitCode).toBe(INVALID);
    expect(exits).toEqual([-1]);
    expect([b.read('RAX'), b.read('RIP'), b.read('EVENTINJ')]).toEqual([7n, BigInt(GUEST_CODE), 0x8000_0306n]);
    expect([b.svm.gif, b.svm.guestMode, b.svm.exits, b.cpu.rflags()]).toEqual([false, false, 0, 0x202]);
    expect(b.cpu.rip).toBe(BigInt(HOST_CODE + VMRUN.length));
  });
  it('is run when it has been put right', () => {
    const b = svmBench();
    b.create([], { GUEST_ASID: 0, VMCB_CLEAN: 0xffff });
    b.enter();
    b.write({ GUEST_ASID: 1 });
    b.enter();
    expect(b.exitCode).toBe(0x81n);
  });
});

describe('the operand of VMRUN', () => {
  const fault = (prepare: (b: ReturnType<typeof svmBench>) => void): number | undefined => {
    const b = svmBench();
    b.create();
    b.cpu.setGpr(0, BigInt(b.vmcb));
    b.cpu.rip = BigInt(HOST_CODE);
    prepare(b);
    let vector: number | undefined;
    b.engine.onFault = (event) => {
      vector = event.vector;
      b.engine.stop();
      return true;
    };
    b.engine.run(b.cpu.now() + 100);
    b.engine.onFault = undefined;
    return vector;
  };
  it('#GP: not aligned, beyond the physical-address width', () => {
    expect(fault(() => {})).toBe(undefined);
    expect(fault((b) => b.cpu.setGpr(0, BigInt(b.vmcb + 8)))).toBe(13);
    expect(fault((b) => b.cpu.setGpr(0, 1n << 60n))).toBe(13);
  });
  it('#GP without a host save area', () => expect(fault((b) => void b.svm.writeMsr(0xc001_0117, 0n))).toBe(13));
  it('#UD without EFER.SVME, and in real mode', () => {
    expect(fault((b) => b.cpu.set64(R.EFER, 0xd01n))).toBe(6);
  });
  it('with an address-size prefix it is EAX', () => {
    expect(
      fault((b) => {
        b.memory.writeBytes(HOST_CODE, Uint8Array.from([0x67, ...VMRUN]));
        b.cpu.setGpr(0, (1n << 40n) | BigInt(b.vmcb));
        b.engine.addGate(HOST_CODE + 4);
      }),
    ).toBe(undefined);
  });
});

describe('nested paging', () => {
  const unmap = (b: ReturnType<typeof svmBench>): void => b.memory.write64(NPT + 0x2000 + 8 * 7, 0n);
  it('NPF: error code, guest-physical address, and the bytes of the instruction', () => {
    const b = svmBench();
    // MOV [0xe01234], EAX
    b.create([0x89, 0x04, 0x25, 0x34, 0x12, 0xe0, 0x00, 0x90, 0x90]);
    unmap(b);
    b.enter();
    expect(b.exitCode).toBe(0x400n);
    expect(b.read('EXITINFO1')).toBe(0x1_0000_0006n);
    expect(b.read('EXITINFO2')).toBe(0xe0_1234n);
    expect(b.at).toBe(0);
    expect(b.read('BYTES_FETCHED')).toBe(15n);
    expect(b.read('INSTRUCTION_BYTES').toString(16)).toBe('9000e01234250489');
    expect(b.read('NRIP')).toBe(0n);
  });
  it('a fetch has no bytes to show; the next exit has none either', () => {
    const b = svmBench();
    b.create([], { RIP: 0xe0_0000 });
    unmap(b);
    b.enter();
    expect([b.exitCode, b.read('EXITINFO1'), b.read('BYTES_FETCHED')]).toEqual([0x400n, 0x1_0000_0014n, 0n]);
  });
  it('bytes end where the page behind cannot be fetched', () => {
    const b = svmBench();
    const at = 0xe0_0000 - 8;
    b.create([], { RIP: at });
    b.memory.writeBytes(at, Uint8Array.from([0x89, 0x04, 0x25, 0x34, 0x12, 0xe0, 0x00, 0x90]));
    unmap(b);
    b.enter();
    expect([b.exitCode, b.read('EXITINFO2'), b.read('BYTES_FETCHED')]).toEqual([0x400n, 0xe0_1234n, 8n]);
  });
  it('is not in force without NP_ENABLE', () => {
    const b = svmBench();
    unmap(b);
    expect(b.run([0x8b, 0x04, 0x25, 0x34, 0x12, 0xe0, 0x00], { NESTED_CONTROL: 0 })).toBe(0x81n);
  });
});

describe('a 32-bit host with PAE paging', () => {
  const host32 = (): ReturnType<typeof svmBench> => {
    const b = svmBench();
    const { cpu, memory } = b;
    memory.write64(0x50_0000, 0x50_1001n);
    for (let i = 0; i < 8; i++) memory.write64(0x50_1000 + 8 * i, BigInt(i * 0x20_0000) | 0x87n);
    cpu.set64(R.EFER, 0x1000n);
    cpu.set64(R.CR4, 0x20n);
    cpu.set64(R.CR3, 0x50_0000n);
    cpu.set64(R.PDPTE0, 0x50_1001n);
    cpu.setSegment(Segment.CS, 8, 0xc09b, 0xffff_ffff, 0n);
    cpu.modeChanged();
    return b;
  };
  const guest32 = { EFER: 0x1000, CR0: 0x11, CR4: 0, CS_ATTRIB: 0xc9b, RAX: 5 };
  it('runs a guest whose nested tables have three levels, and comes back', () => {
    const b = host32();
    // MOV EAX, [0xc01234]; nested page 6 is physical 0x60_0000.
    b.memory.write64(0x59_0000, 0x59_1001n);
    for (let i = 0; i < 8; i++) b.memory.write64(0x59_1000 + 8 * i, BigInt((i === 6 ? 3 : i) * 0x20_0000) | 0x87n);
    b.memory.write32(0x60_1234, 0xcafe_f00d);
    b.run([0xa1, 0x34, 0x12, 0xc0, 0x00], { ...guest32, N_CR3: 0x59_0000 });
    expect([b.exitCode, b.read('RAX'), b.cpu.codeSize, b.cpu.rip]).toEqual([0x81n, 0xcafe_f00dn, 32, BigInt(HOST_CODE + VMRUN.length)]);
  });
  it('takes the VMCB from EAX', () => {
    const b = host32();
    b.create([0x40], { ...guest32, NESTED_CONTROL: 0 });
    b.cpu.setGpr(0, (1n << 40n) | BigInt(b.vmcb));
    b.cpu.rip = BigInt(HOST_CODE);
    b.engine.run(b.cpu.now() + 100);
    expect([b.exitCode, b.read('RAX')]).toEqual([0x81n, 6n]);
  });
});
