/** A processor in VMX root operation with a valid VMCS: the baseline from which each test breaks one thing. */
import { Cpu } from '../../cpu/cpu';
import { Segment, type Insn } from '../../cpu/decoder/insn';
import type { CpuProfile } from '../../cpu/interfaces';
import { R } from '../../cpu/layout';
import { parseProfile } from '../../cpu/profiles/profile';
import { PhysicalMemory } from '../../memory/physical-memory';
import { EntryControl, ExitControl, Primary, Secondary } from '../../vmx/controls';
import { VMCS, type FieldName } from '../../vmx/vmcs/fields';
import { VMCS_REVISION } from '../../vmx/vmcs/layout';
import { Vmx, type VmxOptions } from '../../vmx/vmx';

export const VMXON_REGION = 0x1000;
export const VMCS_A = 0x2000;
export const VMCS_B = 0x3000;
export const EPT_PML4 = 0x4000;
export const EPT_PDPT = 0x5000;
export const MSR_BITMAP = 0x6000;
export const IO_BITMAP_A = 0x7000;
export const IO_BITMAP_B = 0x8000;
export const MSR_AREA = 0x9000;
export const VIRTUAL_APIC = 0xa000;
export const HOST_RIP = 0x11_0000;
export const GUEST_RIP = 0x40_1000;

export interface Bench {
  readonly cpu: Cpu;
  readonly vmx: Vmx;
  write(fields: Partial<Record<FieldName, bigint | number>>): void;
  read(field: FieldName): bigint;
}

/** A 64-bit host in CPL 0, not yet in VMX operation. */
export function machine(options: VmxOptions = {}, profile: CpuProfile = parseProfile('intel-vmx')): Bench {
  const memory = new PhysicalMemory(16 << 20);
  const cpu = new Cpu(memory, profile);
  const vmx = new Vmx(cpu, options).attach();
  cpu.set64(R.CR0, 0x8001_0033n);
  cpu.set64(R.CR3, 0x10_0000n);
  cpu.set64(R.CR4, 0x2620n);
  cpu.set64(R.EFER, 0xd01n);
  cpu.set64(R.DR7, 0x400n);
  cpu.setSegment(Segment.CS, 8, 0xa09b, 0xffff_ffff, 0n);
  for (const s of [Segment.SS, Segment.DS, Segment.ES, Segment.FS, Segment.GS]) cpu.setSegment(s, 0x10, 0xc093, 0xffff_ffff, 0n);
  cpu.setSegment(Segment.TR, 0x18, 0x8b, 0x67, 0x5000n);
  cpu.setRflags(2);
  cpu.modeChanged();
  for (const region of [VMXON_REGION, VMCS_A, VMCS_B]) memory.write32(region, VMCS_REVISION);
  // Identity map of the first GiB: linear to physical for the host, guest-physical to physical for EPT.
  memory.write64(0x10_0000, 0x10_1003n);
  memory.write64(0x10_1000, 0x83n);
  memory.write64(EPT_PML4, BigInt(EPT_PDPT) | 7n);
  memory.write64(EPT_PDPT, 0xb7n);
  return {
    cpu,
    vmx,
    write: (fields) => {
      for (const [name, value] of Object.entries(fields)) {
        const result = vmx.vmwrite(VMCS[name as FieldName], BigInt(value));
        if (result.kind !== 'succeed') throw new Error(`VMWRITE ${name}: ${JSON.stringify(result)}`);
      }
    },
    read: (field) => vmx.vmcs.value(0x10 + 8 * (Object.keys(VMCS) as FieldName[]).indexOf(field)),
  };
}

/** Controls with the bits that must be 1. */
export const PIN = 0x16;
export const PRIMARY = (0x0400_6172 | Primary.ACTIVATE_SECONDARY_CONTROLS) >>> 0;
export const EXIT = 0x0003_6dfb | ExitControl.HOST_ADDRESS_SPACE_SIZE;
export const ENTRY = 0x0000_11fb | EntryControl.IA32E_MODE_GUEST;

/** A 64-bit guest in CPL 0 under EPT. */
export const BASELINE: Partial<Record<FieldName, bigint | number>> = {
  PIN_BASED_CONTROLS: PIN,
  PRIMARY_PROCESSOR_BASED_CONTROLS: PRIMARY,
  SECONDARY_PROCESSOR_BASED_CONTROLS: Secondary.ENABLE_EPT | Secondary.ENABLE_VPID,
  VM_EXIT_CONTROLS: EXIT,
  VM_ENTRY_CONTROLS: ENTRY,
  VPID: 1,
  EPT_POINTER: EPT_PML4 | 0x1e,
  HOST_CR0: 0x8001_0033,
  HOST_CR3: 0x10_0000,
  HOST_CR4: 0x2620,
  HOST_CS_SELECTOR: 8,
  HOST_SS_SELECTOR: 0x10,
  HOST_DS_SELECTOR: 0x10,
  HOST_ES_SELECTOR: 0,
  HOST_FS_SELECTOR: 0x10,
  HOST_GS_SELECTOR: 0x10,
  HOST_TR_SELECTOR: 0x18,
  HOST_FS_BASE: 0x1234_5678_9000n,
  HOST_GS_BASE: 0xffff_8000_0000_0000n,
  HOST_TR_BASE: 0xffff_ffff_8000_5000n,
  HOST_GDTR_BASE: 0x2_0000,
  HOST_IDTR_BASE: 0x2_1000,
  HOST_IA32_SYSENTER_CS: 8,
  HOST_IA32_SYSENTER_ESP: 0x7000,
  HOST_IA32_SYSENTER_EIP: 0xffff_8000_1234_0000n,
  HOST_RSP: 0x9_0000,
  HOST_RIP,
  GUEST_CR0: 0x8001_0033,
  GUEST_CR3: 0x10_0000,
  GUEST_CR4: 0x2620,
  GUEST_ES_SELECTOR: 0x10,
  GUEST_CS_SELECTOR: 8,
  GUEST_SS_SELECTOR: 0x10,
  GUEST_DS_SELECTOR: 0x10,
  GUEST_FS_SELECTOR: 0x10,
  GUEST_GS_SELECTOR: 0x10,
  GUEST_LDTR_SELECTOR: 0,
  GUEST_TR_SELECTOR: 0x18,
  GUEST_ES_LIMIT: 0xffff_ffff,
  GUEST_CS_LIMIT: 0xffff_ffff,
  GUEST_SS_LIMIT: 0xffff_ffff,
  GUEST_DS_LIMIT: 0xffff_ffff,
  GUEST_FS_LIMIT: 0xffff_ffff,
  GUEST_GS_LIMIT: 0xffff_ffff,
  GUEST_LDTR_LIMIT: 0,
  GUEST_TR_LIMIT: 0x67,
  GUEST_ES_ACCESS_RIGHTS: 0xc093,
  GUEST_CS_ACCESS_RIGHTS: 0xa09b,
  GUEST_SS_ACCESS_RIGHTS: 0xc093,
  GUEST_DS_ACCESS_RIGHTS: 0xc093,
  GUEST_FS_ACCESS_RIGHTS: 0xc093,
  GUEST_GS_ACCESS_RIGHTS: 0xc093,
  GUEST_LDTR_ACCESS_RIGHTS: 0x1_0000,
  GUEST_TR_ACCESS_RIGHTS: 0x8b,
  GUEST_GDTR_LIMIT: 0xff,
  GUEST_IDTR_LIMIT: 0xfff,
  GUEST_GDTR_BASE: 0x2_0000,
  GUEST_IDTR_BASE: 0x2_1000,
  GUEST_RSP: 0x8_0000,
  GUEST_RIP,
  GUEST_RFLAGS: 2,
  GUEST_DR7: 0x400,
  VMCS_LINK_POINTER: 0xffff_ffff_ffff_ffffn,
};

/** In root operation, VMCS_A current, clear and valid. */
export function rootWithVmcs(options: VmxOptions = {}, profile?: CpuProfile): Bench {
  const bench = machine(options, profile);
  expect(bench.vmx.vmxon(VMXON_REGION).kind).toBe('succeed');
  expect(bench.vmx.vmclear(VMCS_A).kind).toBe('succeed');
  expect(bench.vmx.vmptrld(VMCS_A).kind).toBe('succeed');
  bench.write(BASELINE);
  return bench;
}

/** In non-root operation, entry complete, with these fields changed from the baseline. */
export function guest(fields: Partial<Record<FieldName, bigint | number>> = {}, options: VmxOptions = {}, profile?: CpuProfile): Bench {
  const bench = rootWithVmcs(options, profile);
  bench.write(fields);
  const entry = bench.vmx.launch();
  if (entry.kind !== 'entered') throw new Error(`entry: ${JSON.stringify(entry)}`);
  bench.vmx.boundary(false, false);
  return bench;
}

/** A decoded instruction with what tests of intercepts look at. */
export const insn = (fields: Partial<Insn>): Insn => ({
  op: 'NOP',
  form: '',
  size: 32,
  ssize: 32,
  dst: -1,
  src: -1,
  src2: -1,
  base: -1,
  index: -1,
  scale: 0,
  disp: 0,
  segment: Segment.DS,
  imm: 0,
  immHigh: 0,
  imm2: 0,
  cc: 0,
  addressSize: 64,
  operandSize: 32,
  rep: 0,
  lock: false,
  hasMemory: false,
  modrm: -1,
  length: 3,
  codeSize: 64,
  ...fields,
});
