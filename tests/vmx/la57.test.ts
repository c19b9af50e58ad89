/** 5-level paging of host and guest, and 5-level EPT, under VT-x. */
import { Cr4 } from '../../cpu/cpu';
import { Engine } from '../../cpu/engine';
import { parseProfile } from '../../cpu/profiles/profile';
import { CHECK_GROUPS } from '../../vmx/entry/groups';
import type { FieldName } from '../../vmx/vmcs/fields';
import { BASELINE, EPT_PDPT, EPT_PML4, GUEST_RIP, rootWithVmcs, type Bench } from './bench';
import { VmcsValues } from './vmcs-values';

// Guest-physical addresses beyond 48 bits need a processor with as many physical ones.
const PROFILE = parseProfile('intel-vmx,+la57,phys-bits=52');
const ENTRY_CODE = 0x11_1000;
const HOST_TABLES = 0x10_0000;
const PML5 = 0x13_0000;
const EPT_PML5 = 0x13_1000;
const BEYOND = 2 ** 48;
const FIVE_LEVELS = EPT_PML5 | (4 << 3) | 6;
const EPT_VPID_CAP = 0x48c;
const timers = { next: Infinity, run: (): void => {}, onChange: (): void => {} };
/** MOV RAX, moffs64; VMCALL. */
const load = (linear: bigint): number[] => [0x48, 0xa1, ...new Uint8Array(new BigUint64Array([linear]).buffer), 0x0f, 0x01, 0xc1];
const CODE_BYTES = 10n;

interface Machine extends Bench {
  /** VMLAUNCH with these fields changed from the baseline; the exit reason, or undefined: the entry failed. */
  launch(code: readonly number[], fields: Partial<Record<FieldName, bigint | number>>): bigint;
}

function start(profile = PROFILE): Machine {
  const b = rootWithVmcs({}, profile);
  const { memory } = b.cpu;
  // 0 and 2^48 lead to the same tables.
  memory.write64(EPT_PML5, BigInt(EPT_PML4) | 7n);
  memory.write64(EPT_PML5 + 8, BigInt(EPT_PML4) | 7n);
  memory.write64(PML5, BigInt(HOST_TABLES) | 3n);
  memory.writeBytes(ENTRY_CODE, Uint8Array.from([0x0f, 0x01, 0xc2, 0xf4]));
  memory.write8(Number(BASELINE.HOST_RIP), 0xf4);
  const engine = new Engine(b.cpu, timers);
  return {
    ...b,
    launch: (code, fields) => {
      memory.writeBytes(GUEST_RIP, Uint8Array.from(code));
      expect(b.vmx.vmclear(0x2000).kind).toBe('succeed');
      expect(b.vmx.vmptrld(0x2000).kind).toBe('succeed');
      b.write({ ...BASELINE, ...fields });
      b.cpu.rip = BigInt(ENTRY_CODE);
      b.cpu.activity = 0;
      expect(engine.run(b.cpu.now() + 10_000)).toBe('idle');
      return b.read('EXIT_REASON');
    },
  };
}

const VMCALL = 18n;
const EPT_VIOLATION = 48n;
const EPT_MISCONFIGURATION = 49n;

describe('5-level EPT', () => {
  it('is told by IA32_VMX_EPT_VPID_CAP[7], with CR4.LA57 in IA32_VMX_CR4_FIXED1', () => {
    const of = (profile: string): unknown => {
      const { msrs, cr4Fixed1 } = rootWithVmcs({}, parseProfile(profile)).vmx.capabilities;
      return [(msrs.get(EPT_VPID_CAP)! >> 7n) & 1n, cr4Fixed1 & Cr4.LA57];
    };
    expect([of('intel-vmx'), of('intel-vmx,+la57')]).toEqual([
      [0n, 0],
      [1n, Cr4.LA57],
    ]);
  });

  it('translates guest-physical addresses beyond 48 bits', () => {
    const m = start();
    // Linear 1 GiB is guest-physical 2^48.
    m.cpu.memory.write64(HOST_TABLES + 0x1000 + 8, BigInt(BEYOND) | 0x83n);
    m.cpu.memory.write64(0x60_0128, 0x1122_3344_5566_7788n);
    expect(m.launch(load(0x4060_0128n), { EPT_POINTER: FIVE_LEVELS | 0x40 })).toBe(VMCALL);
    expect([m.cpu.gpr(0), m.read('GUEST_RIP')]).toEqual([0x1122_3344_5566_7788n, BigInt(GUEST_RIP) + CODE_BYTES]);
    expect([m.cpu.memory.read64(EPT_PML5) & 0x100n, m.cpu.memory.read64(EPT_PML5 + 8) & 0x100n]).toEqual([0x100n, 0x100n]);
  });

  it('with length 4 nothing is there', () => {
    const m = start();
    m.cpu.memory.write64(HOST_TABLES + 0x1000 + 8, BigInt(BEYOND) | 0x83n);
    expect(m.launch(load(0x4060_0128n), {})).toBe(EPT_VIOLATION);
    expect([m.read('GUEST_PHYSICAL_ADDRESS'), m.read('GUEST_LINEAR_ADDRESS')]).toEqual([BigInt(BEYOND + 0x60_0128), 0x4060_0128n]);
  });

  it('a PML5E that is not present is a violation; one with a reserved bit or writable only, a misconfiguration', () => {
    for (const [pml5e, reason] of [
      [0n, EPT_VIOLATION],
      [BigInt(EPT_PML4) | 0x87n, EPT_MISCONFIGURATION],
      [BigInt(EPT_PML4) | 0x0fn, EPT_MISCONFIGURATION],
      [BigInt(EPT_PML4) | 2n, EPT_MISCONFIGURATION],
    ] as const) {
      const m = start();
      m.cpu.memory.write64(HOST_TABLES + 0x1000 + 8, BigInt(BEYOND) | 0x83n);
      m.cpu.memory.write64(EPT_PML5 + 8, pml5e);
      expect(m.launch(load(0x4060_0128n), { EPT_POINTER: FIVE_LEVELS })).toBe(reason);
      expect(m.read('GUEST_PHYSICAL_ADDRESS')).toBe(BigInt(BEYOND + 0x60_0128));
    }
  });

  it('one root with two lengths is two sets of mappings; INVEPT of either drops both', () => {
    const { vmx, cpu } = start();
    const [four, five] = [EPT_PML4 | 0x1e, EPT_PML4 | 0x26];
    vmx.ept.enable(four, 0);
    expect(vmx.ept.translate(0x1000, 1, 0n)).toBe(0x1000);
    // What was a page of 1 GByte becomes a table; as a PML4 table it has such a page one level further down.
    cpu.memory.write64(EPT_PDPT, 0x13_2007n);
    cpu.memory.write64(0x13_2000, 0x4000_00b7n);
    expect(vmx.ept.translate(0x1000, 1, 0n)).toBe(0x1000);
    vmx.ept.enable(five, 0);
    expect(vmx.ept.lookup(0x1000)?.physical).toBe(0x4000_1000);
    expect(vmx.ept.translate(0x1000, 1, 0n)).toBe(0x4000_1000);
    cpu.memory.write64(0x13_2000, 0x8000_00b7n);
    expect(vmx.ept.translate(0x1000, 1, 0n)).toBe(0x4000_1000);
    expect(vmx.invept(1, BigInt(four)).kind).toBe('succeed');
    expect(vmx.ept.translate(0x1000, 1, 0n)).toBe(0x8000_1000);
    vmx.ept.disable();
  });

  it('INVEPT takes an EPTP with length 5 only where VM entry does', () => {
    for (const [profile, kind] of [
      ['intel-vmx,+la57', 'succeed'],
      ['intel-vmx', 'fail-valid'],
    ] as const)
      expect(rootWithVmcs({}, parseProfile(profile)).vmx.invept(1, BigInt(FIVE_LEVELS)).kind).toBe(kind);
  });
});

describe('a guest with CR4.LA57', () => {
  const LA57 = 0x2620 | Cr4.LA57;

  it('has five levels of its own; the exit restores those of the host', () => {
    const m = start();
    // PML5E 112h of the upper half leads to the same tables as PML5E 0; code and data are there.
    m.cpu.memory.write64(PML5 + 0x112 * 8, BigInt(HOST_TABLES) | 3n);
    m.cpu.memory.write64(0x60_0128, 0x77n);
    const half = 0xff12_0000_0000_0000n;
    expect(m.launch(load(half + 0x60_0128n), { GUEST_CR4: LA57, GUEST_CR3: PML5, GUEST_RIP: half + BigInt(GUEST_RIP) })).toBe(VMCALL);
    expect([m.cpu.gpr(0), m.read('GUEST_RIP'), m.read('GUEST_CR4')]).toEqual([0x77n, half + BigInt(GUEST_RIP) + CODE_BYTES, BigInt(LA57)]);
    expect([m.cpu.cr4, m.cpu.mmu.canonical(half)]).toEqual([0x2620, false]);
  });

  it('a host with CR4.LA57 gets 57 bits back after a guest without', () => {
    const m = start();
    m.cpu.memory.write64(PML5 + 0x112 * 8, BigInt(HOST_TABLES) | 3n);
    const rip = 0xff12_0000_0000_0000n + BigInt(BASELINE.HOST_RIP!);
    expect(m.launch([0x0f, 0x01, 0xc1], { HOST_CR4: LA57, HOST_CR3: PML5, HOST_RIP: rip })).toBe(VMCALL);
    expect([m.cpu.rip, m.cpu.cr4]).toEqual([rip + 1n, LA57]);
  });

  it('finds nothing in the TLB that was put there with 4-level paging under the same VPID', () => {
    const m = start();
    const { memory } = m.cpu;
    // The same tables: page directory and page table with four levels, page-directory-pointer table and page directory with five.
    const tables = 0x14_0000;
    for (let n = 0; n < 3; n++) memory.write64(tables + n * 0x1000, BigInt(tables + (n + 1) * 0x1000) | 7n);
    memory.write64(tables + 0x2000 + 2 * 8, BigInt(tables + 0x4000) | 7n);
    for (let n = 0; n < 8; n++) memory.write64(tables + 0x3000 + n * 8, BigInt(n * 0x20_0000) | 0x87n);
    memory.write64(tables + 0x4000 + 8, BigInt(GUEST_RIP) | 7n);
    memory.write64(tables + 0x4000 + 5 * 8, 0x60_5007n);
    memory.write64(0x60_5000, 4n);
    memory.write64(0x40_5000, 5n);
    const read = [0x2620, LA57, 0x2620, LA57].map((cr4) => {
      expect(m.launch(load(0x40_5000n), { GUEST_CR3: tables, GUEST_CR4: cr4 })).toBe(VMCALL);
      return m.cpu.gpr(0);
    });
    expect(read).toEqual([4n, 5n, 4n, 5n]);
  });
});

describe('VM-entry checks of addresses', () => {
  const rules = CHECK_GROUPS.flatMap((group) => group.checks).filter(({ id }) => id.endsWith('.canonical'));
  const WIDE = 0xff12_0000_0000_0000n;
  const TOO_WIDE = 0xfe12_0000_0000_0000n;

  it('are made with the width that the processor supports, whatever CR4.LA57 is', () => {
    expect(rules.length).toBeGreaterThan(12);
    for (const { id, fields, holds } of rules) {
      const field = fields[0].endsWith('ACCESS_RIGHTS') ? fields[1] : fields[0];
      const valid = (value: bigint, linearAddressWidth: 48 | 57): boolean => holds(new VmcsValues({ ...BASELINE, [field]: value }, { linearAddressWidth }));
      expect([id, valid(WIDE, 57), valid(TOO_WIDE, 57), valid(WIDE, 48)]).toEqual([id, true, false, false]);
    }
  });

  // KVM, "fix canonical check of vmcs12 HOST_RIP": what counts is the CR4.LA57 that the exit loads.
  it('but the host RIP with that of the host CR4', () => {
    const { holds } = CHECK_GROUPS.flatMap((group) => group.checks).find(({ id }) => id === 'host.size64.rip')!;
    const valid = (rip: bigint, la57: number): boolean =>
      holds(new VmcsValues({ ...BASELINE, HOST_RIP: rip, HOST_CR4: 0x2620 | la57 }, { linearAddressWidth: 57 }));
    expect([valid(WIDE, Cr4.LA57), valid(TOO_WIDE, Cr4.LA57), valid(WIDE, 0), valid(0xffff_8000_0000_0000n, 0)]).toEqual([true, false, false, true]);
  });
});
