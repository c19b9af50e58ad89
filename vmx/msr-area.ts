/** Areas of MSR entries, 16 bytes each: index, reserved, value. SDM "Loading MSRs" (VM entries and VM exits) and "Saving MSRs". */
import { UNWIND } from '../cpu/cpu';
import { readMsr, writeMsr } from '../cpu/system/msr';
import type { Vmx } from './vmx';

const ENTRY_BYTES = 16;
const MSR = { FS_BASE: 0xc000_0100, GS_BASE: 0xc000_0101, SMM_MONITOR_CTL: 0x9b, SMBASE: 0x9e, BIOS_UPDT_TRIG: 0x79 } as const;
const X2APIC_FIRST = 0x800,
  X2APIC_LAST = 0x8ff;
const isX2apic = (index: number): boolean => index >= X2APIC_FIRST && index <= X2APIC_LAST;

/** Loads `count` entries. Returns 0, or the 1-based number of the first entry that cannot be loaded. */
export function loadMsrArea(vmx: Vmx, address: number, count: number): number {
  const { cpu } = vmx;
  for (let i = 0; i < count; i++) {
    const at = address + i * ENTRY_BYTES;
    const index = cpu.memory.read32(at);
    const refused = index === MSR.FS_BASE || index === MSR.GS_BASE || isX2apic(index) || index === MSR.SMM_MONITOR_CTL || index === MSR.BIOS_UPDT_TRIG;
    if (refused || cpu.memory.read32(at + 4) !== 0) return i + 1;
    if (!attempt(vmx, () => writeMsr(cpu, index, cpu.memory.read64(at + 8)))) return i + 1;
  }
  return 0;
}

/** Stores `count` MSRs. Returns 0, or the 1-based number of the first entry that cannot be stored. */
export function storeMsrArea(vmx: Vmx, address: number, count: number): number {
  const { cpu } = vmx;
  for (let i = 0; i < count; i++) {
    const at = address + i * ENTRY_BYTES;
    const index = cpu.memory.read32(at);
    if (isX2apic(index) || index === MSR.SMBASE || cpu.memory.read32(at + 4) !== 0) return i + 1;
    const value = readMsr(cpu, index);
    if (value === undefined) return i + 1;
    cpu.memory.write64(at + 8, value);
  }
  return 0;
}

/** What would raise #GP if WRMSR did it refuses the entry. */
function attempt(vmx: Vmx, access: () => void): boolean {
  try {
    access();
    return true;
  } catch (e) {
    if (e !== UNWIND) throw e;
    vmx.cpu.fault = undefined;
    return false;
  }
}
