/** CPUID: the profile's answer with the bits that follow the processor's state. SDM volume 2, "CPUID—CPU Identification". */
import { Cr4, type Cpu } from '../cpu';
import { Sensitive } from '../interfaces';
import { R } from '../layout';
import { XSAVE_BYTES } from '../profiles/vendor';
import { MiscEnable } from './msr-values';
import type { SystemInstructions } from './table';

const RAX = 0,
  RCX = 1,
  RDX = 2,
  RBX = 3;
const BIT_OSXSAVE = 1 << 27;
const BIT_MONITOR = 1 << 3;
const BIT_APIC = 1 << 9;
const BIT_NX = 1 << 20;
const APIC_BASE = 0x1b;
const APIC_GLOBAL_ENABLE = 1n << 11n;
/** MISC_FEATURES_ENABLES bit 0. */
const CPUID_FAULTING = 1;
/** Highest basic leaf while IA32_MISC_ENABLE limits it. */
const LIMITED_LEAF = 2;

function cpuid(cpu: Cpu): void {
  if (cpu.cpl !== 0 && (cpu.get32(R.MISC_FEATURES_ENABLES) & CPUID_FAULTING) !== 0) cpu.gp();
  if (cpu.exits(Sensitive.CPUID, cpu.gpr32(RAX))) return;
  const misc = cpu.get32(R.MISC_ENABLE);
  let leaf = cpu.gpr32(RAX);
  const limited = (misc & MiscEnable.LIMIT_CPUID_MAXVAL) !== 0;
  if (limited && leaf > LIMITED_LEAF && leaf < 0x8000_0000) leaf = LIMITED_LEAF;
  const subleaf = cpu.gpr32(RCX);
  const registers = cpu.profile.cpuid(leaf, subleaf);
  let eax = registers[0],
    ebx = registers[1],
    ecx = registers[2],
    edx = registers[3];
  switch (leaf) {
    case 0:
      if (limited) eax = LIMITED_LEAF;
      break;
    case 1:
      if ((cpu.cr4 & Cr4.OSXSAVE) !== 0) ecx |= BIT_OSXSAVE;
      if (cpu.profile.vendor === 'intel' && (misc & MiscEnable.MONITOR) === 0) ecx &= ~BIT_MONITOR;
      if (!apicEnabled(cpu)) edx &= ~BIT_APIC;
      edx ^= cpu.get32(R.CPUID_OVERRIDE_1);
      ecx ^= cpu.get32(R.CPUID_OVERRIDE_1 + 4);
      break;
    case 7:
      if (subleaf === 0) ebx ^= cpu.get32(R.CPUID_OVERRIDE_7);
      break;
    case 0xd:
      // Size of the area for the components that XCR0 enables now; x87 and SSE need the legacy region and the header.
      if (cpu.profile.has(subleaf === 0 ? 'xsave' : 'xsavec') && subleaf < 2) ebx = XSAVE_BYTES;
      break;
    case 0x8000_0001:
      if (cpu.profile.vendor === 'amd' && !apicEnabled(cpu)) edx &= ~BIT_APIC;
      if ((cpu.get32(R.MISC_ENABLE + 4) & MiscEnable.XD_DISABLE_HIGH) !== 0) edx &= ~BIT_NX;
      edx ^= cpu.get32(R.CPUID_OVERRIDE_EXTENDED);
      ecx ^= cpu.get32(R.CPUID_OVERRIDE_EXTENDED + 4);
      break;
  }
  cpu.setGpr32(RAX, eax);
  cpu.setGpr32(RBX, ebx);
  cpu.setGpr32(RCX, ecx);
  cpu.setGpr32(RDX, edx);
}

/** IA32_APIC_BASE.EN; a processor without an interrupt controller has its APIC switched off. */
function apicEnabled(cpu: Cpu): boolean {
  return ((cpu.interrupts?.readMsr(APIC_BASE) ?? 0n) & APIC_GLOBAL_ENABLE) !== 0n;
}

export const CPUID: SystemInstructions = {
  CPUID: { execute: cpuid, endsBlock: false },
};
