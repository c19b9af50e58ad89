/** Snapshots against what is cached of memory and time: write tags, decoded code, armed timers. Small guests in 64-bit flat images. */
import { Guest } from '../../hypervisor/guest';
import { pageOf } from '../../memory/ram-state';

const LVT_TIMER = 0xfee0_0320;
const TSC_DEADLINE_MODE = 2 << 17;
const IA32_TSC_DEADLINE = 0x6e0;
const R8 = 8;
/** A page that the guest writes to; frame number when the guest is bare. */
const PAGE = 0x20_0000;

const guestOf = (backend: 'bare' | 'vmx' | 'svm', ...code: number[]): Guest =>
  new Guest({ image: Uint8Array.from(code), format: 'flat64', memoryBytes: 16 << 20, backend, serialOutput: () => {} });

// prettier-ignore
test('a page that was read first after a snapshot, and then written without the slow path, is in the next', () => {
  const guest = guestOf('bare',
    0xbf, 0x00, 0x00, 0x20, 0x00, // mov edi, PAGE
    0xc6, 0x07, 0x01,             // mov byte [rdi], 1: the page is dirty in the paging structures
    0x0f, 0x20, 0xd8,             // mov rax, cr3
    0x0f, 0x22, 0xd8,             // mov cr3, rax: no translation of it is cached
    0x90,                         // nop: the first snapshot
    0x8a, 0x07,                   // mov al, [rdi]: a translation that allows writes
    0xc6, 0x07, 0x02,             // mov byte [rdi], 2: by it
    0xeb, 0xfe,                   // jmp $
  );
  const written = (): number => pageOf(guest.saveState().machine.ram, PAGE / 4096)![0];
  guest.run(4);
  expect(written()).toBe(1);
  guest.run(6);
  expect(written()).toBe(1);
  guest.run(200);
  expect(written()).toBe(2);
});

// prettier-ignore
test.each(['bare', 'vmx', 'svm'] as const)('code decoded after the snapshot does not outlive a write through a translation of the snapshot (%s)', (backend) => {
  const guest = guestOf(backend,
    0xbf, 0x00, 0x00, 0x20, 0x00,             // mov edi, PAGE
    0xc7, 0x07, 0xb0, 0x05, 0xc3, 0x00,       // mov dword [rdi], "mov al, 5; ret"
    0x90,                                     // nop: the snapshot
    0xff, 0xd7, 0x41, 0x00, 0xc0,             // call rdi; add r8b, al
    0xc6, 0x47, 0x01, 0x09,                   // mov byte [rdi+1], 9
    0xff, 0xd7, 0x41, 0x00, 0xc0,             // call rdi; add r8b, al
    0xc6, 0x47, 0x01, 0x05,                   // mov byte [rdi+1], 5: as in the snapshot
    0xff, 0xd7, 0x41, 0x00, 0xc0,             // call rdi; add r8b, al
    0xeb, 0xfe,                               // jmp $
  );
  guest.run(2);
  const state = guest.saveState();
  for (let round = 0; round < 3; round++) {
    guest.run(2000);
    expect(guest.machine.cpu.gpr(R8) & 0xffn).toBe(19n);
    guest.restoreState(state);
    expect(guest.machine.cpu.gpr(R8) & 0xffn).toBe(0n);
  }
});

test.each(['bare', 'vmx', 'svm'] as const)(
  'an APIC timer in TSC-deadline mode is due at the same tick in a fresh guest and in one that is further (%s)',
  (backend) => {
    const guest = guestOf(backend, 0xeb, 0xfe);
    const { lapic } = guest.platform;
    const scheduler = (vm: Guest) => (vm.vm ?? vm.machine).scheduler;
    guest.run(10_000);
    lapic.writeMmio(LVT_TIMER & 0xfff, 4, TSC_DEADLINE_MODE | 0x30);
    expect(lapic.writeMsr(IA32_TSC_DEADLINE, 34_567n)).toBe(true);
    const due = scheduler(guest).next;
    // One tick is one count of the TSC.
    expect(due).toBe(34_567);
    const state = guest.saveState();
    const fresh = Guest.fromState(structuredClone(state), { serialOutput: () => {} });
    expect(scheduler(fresh).next).toBe(due);
    guest.run(50_000);
    expect(scheduler(guest).next).not.toBe(due);
    guest.restoreState(state);
    expect(scheduler(guest).next).toBe(due);
    guest.run(34_566);
    expect(lapic.pending()).toBe(false);
    guest.run(34_568);
    expect(lapic.pending()).toBe(true);
  },
);
