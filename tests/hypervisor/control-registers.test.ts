import { Guest } from '../../hypervisor/guest';

/**
 * R8 = CR0; CR0 = R8 ^ NE | CD, read into RBX; CR0 = R8 | CD | NW, read into RCX; CR0 = R8, read into RSI:
 *   mov rax, cr0; mov r8, rax; xor eax, 20h; or eax, 40000000h; mov cr0, rax; mov rbx, cr0; ... mov dx, 0f4h; out dx, al
 */
const PROGRAM = Buffer.from('0f20c04989c083f0200d000000400f22c00f20c34c89c00d000000600f22c00f20c1410f22c00f20c666baf400eef4', 'hex');
const NE = 0x20n,
  CD = 0x4000_0000n,
  NW = 0x2000_0000n;

/** mov ecx, 0c0000080h; rdmsr; or eax, 100h; wrmsr; mov dx, 0f4h; out dx, al */
const LONG_MODE_ENABLE = Buffer.from('b9800000c00f320d000100000f3066baf400eef4', 'hex');

describe.each(['bare', 'vmx', 'svm'] as const)('%s', (backend) => {
  it('a guest reads back what it wrote to CR0.NE, CD and NW', () => {
    const guest = new Guest({ image: PROGRAM, format: 'flat64', memoryBytes: 16 << 20, backend, serialOutput: () => {}, debugExit: { iobase: 0xf4 } });
    expect(guest.run(1000)).toMatchObject({ kind: 'ended', because: 'debug-exit' });
    const register = (n: number): bigint => (guest.vm === undefined ? guest.machine.cpu.gpr(n) : guest.vm.processor.gpr(n));
    const [rcx, rbx, rsi, r8] = [1, 3, 6, 8].map(register);
    expect([rbx, rcx, rsi]).toEqual([(r8 ^ NE) | CD, r8 | CD | NW, r8]);
  });

  it.each([
    ['with long mode', '', 'debug-exit'],
    ['without: EFER.LME is reserved', ',-lm', 'triple-fault'],
  ])('%s', (_, without, because) => {
    const cpu = `${backend === 'svm' ? 'amd' : 'intel'}${without}`;
    const options = {
      image: LONG_MODE_ENABLE,
      format: 'flat32',
      memoryBytes: 16 << 20,
      backend,
      cpu,
      serialOutput: () => {},
      debugExit: { iobase: 0xf4 },
    } as const;
    expect(new Guest(options).run(1000)).toMatchObject({ kind: 'ended', because });
  });

  it.each([
    ['rdtscp', '0f01f9'],
    ['invpcid', '31c9660f38820c2500000000'],
    // RDMSR of IA32_MTRR_DEF_TYPE, of IA32_STAR.
    ['mtrr', 'b9ff0200000f32'],
    ['syscall', 'b9810000c00f32'],
    // WRMSR: EFER.NXE.
    ['nx', 'b9800000c00f320d000800000f30'],
  ])('a guest has %s, or it faults', (feature, code) => {
    const ends = (cpu: string): unknown => {
      const image = Buffer.from(`${code}66baf400eef4`, 'hex');
      const stop = new Guest({ image, format: 'flat64', memoryBytes: 16 << 20, backend, cpu, serialOutput: () => {}, debugExit: { iobase: 0xf4 } }).run(1000);
      return stop.kind === 'ended' && stop.because;
    };
    const vendor = backend === 'svm' ? 'amd' : 'intel';
    expect([ends(vendor), ends(`${vendor},-${feature}`)]).toEqual(['debug-exit', 'triple-fault']);
  });
});
