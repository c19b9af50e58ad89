/**
 * What a load of CR0, CR3, CR4, CR8 or EFER does: the checks of SDM volume 3, "Control Registers" and "Initializing IA-32e Mode", and
 * the consequences for mode and cached translations. set* load a value as it is (VM entry and exit make their own checks);
 * write* are the checked loads of instructions, which raise #GP(0) before anything changed.
 */
import { Cr0, Cr4, Efer, updateSimdState, type Cpu } from '../cpu';
import { Segment } from '../decoder/insn';
import type { CpuProfile } from '../interfaces';
import { R } from '../layout';

/** CR0 bits that exist; ET is always 1. */
const CR0_BITS = (Cr0.PE | Cr0.MP | Cr0.EM | Cr0.TS | Cr0.ET | Cr0.NE | Cr0.WP | Cr0.AM | Cr0.NW | Cr0.CD | Cr0.PG) >>> 0;
/** Changes of CR0 / CR4 that make cached translations wrong. */
const CR0_TRANSLATION = Cr0.PG | Cr0.WP;
const CR4_TRANSLATION = Cr4.PSE | Cr4.PAE | Cr4.PGE | Cr4.PCIDE | Cr4.SMEP | Cr4.SMAP | Cr4.LA57;
/** Changes after which PAE paging loads its PDPTE registers again: SDM "PDPTE Registers". */
const CR0_PDPTE = Cr0.PG | Cr0.CD | Cr0.NW;
const CR4_PDPTE = Cr4.PSE | Cr4.PAE | Cr4.PGE | Cr4.SMEP;

/** CR4 bits and the CPUID feature that brings them; PCE has none of its own and comes with RDMSR. */
const CR4_FEATURES: readonly (readonly [bit: number, feature: string])[] = [
  [Cr4.TSD, 'tsc'],
  [Cr4.DE, 'de'],
  [Cr4.PSE, 'pse'],
  [Cr4.PAE, 'pae'],
  [Cr4.MCE, 'mce'],
  [Cr4.PGE, 'pge'],
  [Cr4.PCE, 'msr'],
  [Cr4.OSFXSR, 'fxsr'],
  [Cr4.OSXMMEXCPT, 'sse'],
  [Cr4.UMIP, 'umip'],
  [Cr4.LA57, 'la57'],
  [Cr4.VMXE, 'vmx'],
  [Cr4.FSGSBASE, 'fsgsbase'],
  [Cr4.PCIDE, 'pcid'],
  [Cr4.OSXSAVE, 'xsave'],
  [Cr4.SMEP, 'smep'],
  [Cr4.SMAP, 'smap'],
];

/** EFER bit 21 of AMD: automatic IBRS. Without speculation it is only a bit. */
const EFER_AIBRSE = 1 << 21;
const EFER_FEATURES: readonly (readonly [bit: number, feature: string])[] = [
  [Efer.SCE, 'syscall'],
  [Efer.LME | Efer.LMA, 'lm'],
  [Efer.NXE, 'nx'],
  [Efer.SVME, 'svm'],
  [EFER_AIBRSE, 'auto-ibrs'],
];

/** The bits that a profile has, computed once. */
function maskBy(rows: readonly (readonly [bit: number, feature: string])[]): (cpu: Cpu) => number {
  const known = new WeakMap<CpuProfile, number>();
  return (cpu) => {
    let mask = known.get(cpu.profile);
    if (mask === undefined) {
      mask = rows.reduce((m, [bit, feature]) => (cpu.profile.has(feature) ? m | bit : m), 0) >>> 0;
      known.set(cpu.profile, mask);
    }
    return mask;
  };
}

/** CR4 bits this processor has. */
export const supportedCr4 = maskBy(CR4_FEATURES);
/** EFER bits this processor has. */
export const supportedEfer = maskBy(EFER_FEATURES);

// ---- PDPTE registers ----

/** PAE paging is in use with these values: paging on, PAE on, not IA-32e mode. */
export const isPaePaging = (cr0: number, cr4: number, efer: number): boolean => (cr0 & Cr0.PG) !== 0 && (cr4 & Cr4.PAE) !== 0 && (efer & Efer.LMA) === 0;

const PDPTE_PRESENT = 1n;
/** Bits 2:1 and 8:5. */
const PDPTE_RESERVED_LOW = 0x1e6n;

/** True when a PDPTE may be loaded: not present, or no reserved bit set. SDM "PAE Paging". */
export function pdpteValid(cpu: Cpu, entry: bigint): boolean {
  return (entry & PDPTE_PRESENT) === 0n || ((entry & PDPTE_RESERVED_LOW) === 0n && entry >> BigInt(cpu.profile.physicalAddressWidth) === 0n);
}

/** Reads the four PDPTEs that CR3 value `cr3` (low 32 bits) points at into the PDPTE registers; false, and nothing changed, when one has a reserved bit set. */
export function loadPdptes(cpu: Cpu, cr3: number): boolean {
  // "This has the side-effect that illegal bit combinations in the PDPEs are not signaled at the time that CR3 is written": APM "Nested Paging".
  if (cpu.nested?.active === true && cpu.nested.walksPdptes === true) return true;
  const table = (cr3 & ~0x1f) >>> 0;
  const entries = [0, 1, 2, 3].map((n) => cpu.mmu.readPhysical64(table + 8 * n));
  if (!entries.every((e) => pdpteValid(cpu, e))) return false;
  entries.forEach((e, n) => cpu.set64(R.PDPTE0 + 8 * n, e));
  return true;
}

// ---- CR0 ----

/** Loads CR0, with LMA following PG when LME is set. */
export function setCr0(cpu: Cpu, value: number): void {
  const old = cpu.cr0;
  const cr0 = ((value & CR0_BITS) | Cr0.ET) >>> 0;
  const changed = old ^ cr0;
  cpu.set32(R.CR0, cr0);
  if ((changed & Cr0.PG) !== 0) {
    const efer = cpu.efer;
    if ((efer & Efer.LME) !== 0) cpu.set32(R.EFER, (cr0 & Cr0.PG) !== 0 ? efer | Efer.LMA : efer & ~Efer.LMA);
  }
  updateSimdState(cpu);
  if ((changed & CR0_TRANSLATION) !== 0) cpu.mmu.flushAll();
  if ((changed & (Cr0.PE | Cr0.PG)) !== 0) cpu.modeChanged();
}

/** What CR0 becomes of a value written: bits that do not exist are ignored, and ET is 1. */
export const definedCr0 = (value: number): number => ((value & CR0_BITS) | Cr0.ET) >>> 0;

/** #GP(0) for a CR0 that cannot be: bits that exclude each other, or exclude the mode. A hypervisor's fixed bits are not among them. */
export function requireCr0(cpu: Cpu, cr0: number): void {
  const { cr4, efer, cr0: old } = cpu;
  const paging = (cr0 & Cr0.PG) !== 0;
  if (paging && (cr0 & Cr0.PE) === 0) cpu.gp();
  if ((cr0 & Cr0.NW) !== 0 && (cr0 & Cr0.CD) === 0) cpu.gp();
  if (paging && (old & Cr0.PG) === 0 && (efer & Efer.LME) !== 0) {
    // Activating IA-32e mode: SDM "IA-32e Mode System Data Structures", consistency checks.
    const codeIsLong = (cpu.segmentAccess(Segment.CS) & 0x2000) !== 0;
    const tssType = cpu.segmentAccess(Segment.TR) & 0x1_001f;
    if ((cr4 & Cr4.PAE) === 0 || codeIsLong || tssType === 1 || tssType === 3) cpu.gp();
  }
  if (!paging && (old & Cr0.PG) !== 0) {
    if (cpu.codeSize === 64 || (cr4 & Cr4.PCIDE) !== 0) cpu.gp();
  }
}

/** MOV to CR0 and LMSW: `value` is the low half, after a hypervisor's masks. */
export function writeCr0(cpu: Cpu, value: number): void {
  const old = cpu.cr0;
  const cr0 = definedCr0(value);
  requireCr0(cpu, cr0);
  requireAllowed(cpu, 0, cr0);
  const activates = (~old & cr0 & Cr0.PG) !== 0 && (cpu.efer & Efer.LME) !== 0;
  const efer = activates ? cpu.efer | Efer.LMA : cpu.efer;
  if (((old ^ cr0) & CR0_PDPTE) !== 0 && isPaePaging(cr0, cpu.cr4, efer) && !loadPdptes(cpu, cpu.get32(R.CR3))) cpu.gp();
  setCr0(cpu, cr0);
}

/** A hypervisor's fixed bits (VMX operation). */
function requireAllowed(cpu: Cpu, cr: 0 | 4, value: number): void {
  const x = cpu.interception;
  if (x !== undefined && x.active && !x.controlAllowed(cr, BigInt(value))) cpu.gp();
}

// ---- CR3 ----

/** Loads CR3 from two halves; bit 63 is not part of it. `keep`: cached translations of the new PCID stay. */
export function setCr3(cpu: Cpu, low: number, high: number, keep = false): void {
  cpu.set32(R.CR3, low);
  cpu.set32(R.CR3 + 4, high & 0x7fff_ffff);
  cpu.mmu.addressSpaceChanged(keep);
}

/** MOV to CR3. `high` is 0 outside 64-bit mode. */
export function writeCr3(cpu: Cpu, low: number, high: number): void {
  let keep = false;
  if (high !== 0) {
    const pcide = (cpu.cr4 & Cr4.PCIDE) !== 0;
    keep = pcide && high >>> 31 !== 0;
    const reserved = (pcide ? 0x7fff_ffff : 0xffff_ffff) & ~(2 ** (cpu.profile.physicalAddressWidth - 32) - 1);
    if ((high & reserved) !== 0) cpu.gp();
  }
  if (isPaePaging(cpu.cr0, cpu.cr4, cpu.efer) && !loadPdptes(cpu, low)) cpu.gp();
  setCr3(cpu, low, high, keep);
}

// ---- CR4 ----

export function setCr4(cpu: Cpu, value: number): void {
  const changed = cpu.cr4 ^ value;
  cpu.set32(R.CR4, value);
  updateSimdState(cpu);
  if ((changed & CR4_TRANSLATION) !== 0) cpu.mmu.flushAll();
}

/** MOV to CR4: `value` is the low half, after a hypervisor's masks. */
export function writeCr4(cpu: Cpu, value: number): void {
  const old = cpu.cr4;
  requireCr4(cpu, value);
  requireAllowed(cpu, 4, value >>> 0);
  if (((old ^ value) & CR4_PDPTE) !== 0 && isPaePaging(cpu.cr0, value, cpu.efer) && !loadPdptes(cpu, cpu.get32(R.CR3))) cpu.gp();
  setCr4(cpu, value >>> 0);
}

/** #GP(0) for a CR4 with bits that this processor lacks, or that the mode does not allow. */
export function requireCr4(cpu: Cpu, value: number): void {
  const old = cpu.cr4;
  if ((value & ~supportedCr4(cpu)) !== 0) cpu.gp();
  if (cpu.longMode) {
    // Between 4-level and 5-level paging the way leads through paging off.
    if ((value & Cr4.PAE) === 0 || ((old ^ value) & Cr4.LA57) !== 0) cpu.gp();
  } else if ((value & Cr4.PCIDE) !== 0) cpu.gp();
  if ((value & ~old & Cr4.PCIDE) !== 0 && (cpu.get32(R.CR3) & 0xfff) !== 0) cpu.gp();
}

// ---- EFER ----

/** Loads EFER as it is, LMA included. */
export function setEfer(cpu: Cpu, value: number): void {
  const changed = cpu.efer ^ value;
  cpu.set32(R.EFER, value);
  if ((changed & Efer.NXE) !== 0) cpu.mmu.flushAll();
  if ((changed & Efer.LMA) !== 0) cpu.modeChanged();
}

/** WRMSR to IA32_EFER. LMA is read-only. */
export function writeEfer(cpu: Cpu, value: bigint): void {
  if (value >> 32n !== 0n) cpu.gp();
  const old = cpu.efer;
  const efer = ((Number(value) & ~Efer.LMA) | (old & Efer.LMA)) >>> 0;
  if ((efer & ~supportedEfer(cpu)) !== 0) cpu.gp();
  if (((old ^ efer) & Efer.LME) !== 0 && (cpu.cr0 & Cr0.PG) !== 0) cpu.gp();
  if (cpu.interception?.eferAllowed?.(efer) === false) cpu.gp();
  setEfer(cpu, efer);
  cpu.interception?.eferWritten?.(efer);
}
