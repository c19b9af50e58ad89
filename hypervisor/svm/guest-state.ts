/**
 * The state-save area: filled for a boot protocol, and exchanged with a processor model for emulation. FS, GS, LDTR, TR and the syscall
 * MSRs stay in the processor: this hypervisor has no use for them, so it need not execute VMLOAD and VMSAVE around every VMRUN.
 */
import { Activity, Efer, type Cpu } from '../../cpu/cpu';
import { Segment } from '../../cpu/decoder/insn';
import { setDr7 } from '../../cpu/debug';
import { R, S, SEGMENT_STRIDE, seg } from '../../cpu/layout';
import type { EntryState } from '../../guests/boot/entry-state';
import { InterruptShadow, VIntr } from '../../svm/controls';
import { SegmentOffset, VMCB } from '../../svm/vmcb/layout';
import { entrySegments, type LoadedSegment } from '../entry-segments';
import { copyUnswitched, flagsBehind } from '../unswitched-state';
import { branchStateFrom, branchStateTo } from './branch-state';
import type { ControlBlock } from './control-block';

const PAT_RESET = 0x0007_0406_0007_0406n;
const DR6_RESET = 0xffff_0ff0n;
const DR7_RESET = 0x400n;
const RAX = 0,
  RSP = 4;
const UNUSABLE = 0x1_0000;

/** ES, CS, SS and DS are switched by VMRUN and #VMEXIT, in the order of Segment. */
const SWITCHED_SEGMENTS = [VMCB.ES_SELECTOR, VMCB.CS_SELECTOR, VMCB.SS_SELECTOR, VMCB.DS_SELECTOR];
/** ... and the others by VMLOAD and VMSAVE. */
const LOADED_SEGMENTS = [VMCB.FS_SELECTOR, VMCB.GS_SELECTOR, VMCB.LDTR_SELECTOR, VMCB.TR_SELECTOR];

/** Access rights as the VMCS has them, as the twelve bits of a VMCB attribute field, and back. A segment that is not present is unusable. */
const packAttributes = (access: number): number => ((access & UNUSABLE) !== 0 ? 0 : (access & 0xff) | ((access >>> 4) & 0xf00));
const unpackAttributes = (attributes: number): number => (attributes & 0xff) | ((attributes & 0xf00) << 4) | ((attributes & 0x80) === 0 ? UNUSABLE : 0);

function setSegment(block: ControlBlock, at: number, s: LoadedSegment): void {
  block.set16(at + SegmentOffset.SELECTOR, s.selector);
  block.set16(at + SegmentOffset.ATTRIB, packAttributes(s.access));
  block.set32(at + SegmentOffset.LIMIT, s.limit);
  block.set64(at + SegmentOffset.BASE, BigInt(s.base));
}

/** EFER.SVME must be 1 in guest mode; the guest does not see it, because its accesses to EFER are intercepted. */
export function loadEntryState(block: ControlBlock, cpu: Cpu, state: EntryState): void {
  block.set64(VMCB.CR0, BigInt(state.cr0));
  block.set64(VMCB.CR3, BigInt(state.cr3));
  block.set64(VMCB.CR4, BigInt(state.cr4));
  block.set64(VMCB.EFER, BigInt(state.efer | Efer.SVME));
  block.set64(VMCB.G_PAT, PAT_RESET);
  entrySegments(state).forEach((s, i) => setSegment(block, i < 4 ? SWITCHED_SEGMENTS[i] : LOADED_SEGMENTS[i - 4], s));
  block.set64(VMCB.GDTR_BASE, BigInt(state.gdtr.base));
  block.set32(VMCB.GDTR_LIMIT, state.gdtr.limit);
  block.set64(VMCB.IDTR_BASE, BigInt(state.idtr.base));
  block.set32(VMCB.IDTR_LIMIT, state.idtr.limit);
  block.set64(VMCB.DR6, DR6_RESET);
  block.set64(VMCB.DR7, DR7_RESET);
  block.set64(VMCB.RIP, BigInt(state.rip));
  block.set64(VMCB.RFLAGS, BigInt(state.rflags));
  block.set8(VMCB.CPL, 0);
  for (let r = 0; r < 16; r++) cpu.setGpr(r, BigInt.asUintN(64, BigInt(state.gprs[r] ?? 0)));
  block.set64(VMCB.RAX, BigInt(state.gprs[RAX] ?? 0));
  block.set64(VMCB.RSP, BigInt(state.gprs[RSP] ?? 0));
}

/** A processor model that has the guest's state for one instruction. */
export class GuestStateExchange {
  /** What toModel() put into the model from CR0 to the segment registers: most instructions change none of it. */
  private readonly before = new Uint32Array((R.SEGMENTS + 8 * SEGMENT_STRIDE - R.CR0) / 4);

  constructor(
    private readonly block: ControlBlock,
    private readonly cpu: Cpu,
  ) {}

  toModel(model: Cpu): void {
    const { block, cpu } = this;
    copyUnswitched(cpu, model);
    branchStateTo(block, model);
    for (const [field, to] of WIDE) {
      model.set32(to, block.get32(field));
      model.set32(to + 4, block.high32(field));
    }
    model.set32(R.EFER, block.get32(VMCB.EFER) & ~Efer.SVME);
    model.set32(R.GDTR_LIMIT, block.get32(VMCB.GDTR_LIMIT));
    model.set32(R.IDTR_LIMIT, block.get32(VMCB.IDTR_LIMIT));
    for (let s = 0; s < 4; s++) {
      const at = SWITCHED_SEGMENTS[s];
      model.set32(seg(s, S.SELECTOR), block.get16(at + SegmentOffset.SELECTOR));
      model.set32(seg(s, S.ACCESS), unpackAttributes(block.get16(at + SegmentOffset.ATTRIB)));
      model.set32(seg(s, S.LIMIT), block.get32(at + SegmentOffset.LIMIT));
      model.set32(seg(s, S.BASE), block.get32(at + SegmentOffset.BASE));
      model.set32(seg(s, S.BASE) + 4, block.high32(at + SegmentOffset.BASE));
    }
    model.u8.copyWithin(model.base + seg(Segment.FS, 0), cpu.base + seg(Segment.FS, 0), cpu.base + seg(Segment.TR, 0) + SEGMENT_STRIDE);
    for (let i = 0; i < 8; i++) model.set32(R.PDPTE0 + i * 4, cpu.get32(R.PDPTE0 + i * 4));
    model.set32(R.CPL, block.get8(VMCB.CPL));
    model.setRflags(block.get32(VMCB.RFLAGS));
    model.shadowAt = -1;
    model.pendingDebug = 0;
    model.nmiBlocked = (block.get32(VMCB.V_INTR) & VIntr.V_NMI_MASK) !== 0;
    model.activity = Activity.Active;
    model.modeChanged();
    model.mmu.flushAll();
    setDr7(model, block.get32(VMCB.DR7));
    const first = (model.base + R.CR0) >>> 2;
    this.before.set(model.u32.subarray(first, first + this.before.length));
  }

  /** The instruction is done: RIP moved, the interrupt shadow is over unless it began one. */
  fromModel(model: Cpu): void {
    const { block, cpu } = this;
    copyUnswitched(model, cpu);
    branchStateFrom(block, model);
    block.setWords(VMCB.RAX, model.get32(R.GPR + RAX * 8), model.get32(R.GPR + RAX * 8 + 4));
    block.setWords(VMCB.RSP, model.get32(R.GPR + RSP * 8), model.get32(R.GPR + RSP * 8 + 4));
    block.setWords(VMCB.RIP, model.get32(R.RIP), model.get32(R.RIP + 4));
    block.setWords(VMCB.RFLAGS, flagsBehind(model), 0);
    const shadow = model.inShadow() ? InterruptShadow.INTERRUPT_SHADOW : 0;
    if (shadow !== block.get32(VMCB.INTERRUPT_SHADOW)) block.set32(VMCB.INTERRUPT_SHADOW, shadow);
    const masked = model.nmiBlocked ? VIntr.V_NMI_MASK : 0;
    const virtual = block.get32(VMCB.V_INTR);
    if ((virtual & VIntr.V_NMI_MASK) !== masked) block.set32(VMCB.V_INTR, (virtual & ~VIntr.V_NMI_MASK) | masked);
    if (this.systemStateChanged(model)) this.systemStateFrom(model);
  }

  private systemStateChanged(model: Cpu): boolean {
    const { before } = this;
    const first = (model.base + R.CR0) >>> 2;
    for (let i = 0; i < before.length; i++) if (model.u32[first + i] !== before[i]) return true;
    return false;
  }

  private systemStateFrom(model: Cpu): void {
    const { block, cpu } = this;
    for (const [field, from] of WIDE) if (from >= R.CR0) block.set64(field, model.get64(from));
    block.set64(VMCB.DR7, model.get64(R.DR7));
    block.set64(VMCB.EFER, model.get64(R.EFER) | BigInt(Efer.SVME));
    block.set32(VMCB.GDTR_LIMIT, model.get32(R.GDTR_LIMIT));
    block.set32(VMCB.IDTR_LIMIT, model.get32(R.IDTR_LIMIT));
    block.set8(VMCB.CPL, model.cpl);
    for (let s = 0; s < 4; s++) {
      const segment = { selector: model.selector(s), access: model.segmentAccess(s), limit: model.segmentLimit(s), base: model.segmentBase(s) };
      setSegment(block, SWITCHED_SEGMENTS[s], segment);
    }
    for (let s = Segment.FS; s <= Segment.TR; s++) cpu.setSegment(s, model.selector(s), model.segmentAccess(s), model.segmentLimit(s), model.segmentBase(s));
    for (let i = 0; i < 8; i++) cpu.set32(R.PDPTE0 + i * 4, model.get32(R.PDPTE0 + i * 4));
  }
}

/** 64-bit fields of the save area and where the vCPU block has them. */
const WIDE: readonly (readonly [field: number, blockOffset: number])[] = [
  [VMCB.RAX, R.GPR + RAX * 8],
  [VMCB.RSP, R.GPR + RSP * 8],
  [VMCB.RIP, R.RIP],
  [VMCB.CR0, R.CR0],
  [VMCB.CR2, R.CR2],
  [VMCB.CR3, R.CR3],
  [VMCB.CR4, R.CR4],
  [VMCB.DR6, R.DR6],
  [VMCB.G_PAT, R.PAT],
  [VMCB.GDTR_BASE, R.GDTR_BASE],
  [VMCB.IDTR_BASE, R.IDTR_BASE],
];
