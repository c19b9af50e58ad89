import { Access } from './mmu';
import { Activity, Flag, UNWIND, Vector, type Cpu } from './cpu';
import { Segment } from './decoder/insn';
import { EventType, type CpuEvent } from './interfaces';
import { R } from './layout';
import { fetchDescriptor, loadCs } from './segments';
const IR = Access.Read | Access.Supervisor,
  IW = Access.Write | Access.Supervisor;
const contributory = new Set([0, 10, 11, 12, 13]);
export function deliverEvent(cpu: Cpu, event: CpuEvent): void {
  let current = event;
  let first: CpuEvent | undefined;
  for (let n = 0; n < 4; n++) {
    const x = cpu.interception;
    if (x && x.guestMode && current.type !== EventType.ExternalInterrupt && current.type !== EventType.SoftwareInterrupt)
      if (x.exception(current, first)) return;
    cpu.delivering = current;
    try {
      deliver(cpu, current);
      cpu.observer.deliver?.(cpu, current);
      return;
    } catch (e) {
      if (e !== UNWIND) throw e;
    } finally {
      cpu.delivering = undefined;
    }
    const second = cpu.fault;
    cpu.fault = undefined;
    if (second === undefined) return;
    const hw = current.type === EventType.HardwareException;
    if (hw && current.vector === Vector.DF) {
      if (x && x.guestMode && x.tripleFault()) return;
      cpu.activity = Activity.Shutdown;
      return;
    }
    const df =
      hw &&
      ((contributory.has(current.vector) && contributory.has(second.vector)) ||
        (current.vector === Vector.PF && (contributory.has(second.vector) || second.vector === Vector.PF)));
    first = event;
    current = df ? { vector: Vector.DF, type: EventType.HardwareException, errorCode: 0, payload: 0n, length: 0 } : second;
  }
}
function deliver(cpu: Cpu, event: CpuEvent): void {
  const { vector } = event;
  if (event.type === EventType.HardwareException) {
    if (vector === Vector.PF) cpu.set64(R.CR2, event.payload);
    if (vector === Vector.DB) cpu.set64(R.DR6, (cpu.get64(R.DR6) & ~15n) | event.payload);
  }
  const software =
    event.type === EventType.SoftwareInterrupt || event.type === EventType.SoftwareException || event.type === EventType.PrivilegedSoftwareException;
  const ext = software ? 0 : 1;
  const idtError = vector * 8 + 2 + ext;
  const returnRip = software ? BigInt.asUintN(64, cpu.rip + BigInt(event.length)) : cpu.rip;
  const entry = cpu.longMode ? 16 : 8;
  if (vector * entry + entry - 1 > cpu.get32(R.IDTR_LIMIT)) cpu.gp(idtError);
  const at = cpu.get64(R.IDTR_BASE) + BigInt(vector * entry);
  const gate = cpu.readLinear(at, 8, IR);
  const high = cpu.longMode ? cpu.readLinear(at + 8n, 8, IR) : 0n;
  const type = Number((gate >> 40n) & 0x1fn);
  const dpl = Number((gate >> 45n) & 3n);
  const okTypes = cpu.longMode ? [14, 15] : [14, 15, 6, 7];
  if (!okTypes.includes(type)) cpu.gp(idtError);
  if ((event.type === EventType.SoftwareInterrupt || event.type === EventType.SoftwareException) && dpl < cpu.cpl) cpu.gp(idtError);
  if (((gate >> 47n) & 1n) === 0n) cpu.raise(Vector.NP, idtError);
  const selector = Number((gate >> 16n) & 0xffffn);
  if ((selector & 0xfffc) === 0) cpu.gp(ext);
  const d = fetchDescriptor(cpu, selector);
  const cdpl = (d.access >>> 5) & 3;
  if ((d.access & 0x18) !== 0x18 || cdpl > cpu.cpl) cpu.gp((selector & 0xfffc) | ext);
  if ((d.access & 0x80) === 0) cpu.raise(Vector.NP, (selector & 0xfffc) | ext);
  const conforming = (d.access & 4) !== 0;
  const cpl = cpu.cpl;
  const newCpl = conforming ? cpl : cdpl;
  let flags = cpu.rflags();
  const faultLike = event.type === EventType.HardwareException && vector !== Vector.DB && vector !== Vector.DF && vector !== Vector.MC;
  const pushed = faultLike ? flags | Flag.RF : flags;
  const oldSs = cpu.selector(Segment.SS),
    oldCs = cpu.selector(Segment.CS);
  const target = (gate & 0xffffn) | ((gate >> 32n) & 0xffff_0000n) | ((high & 0xffff_ffffn) << 32n);
  const hasError = event.errorCode !== undefined && event.type === EventType.HardwareException;
  if (cpu.longMode) {
    if ((d.access & 0x6000) !== 0x2000) cpu.gp((selector & 0xfffc) | ext);
    const ist = Number((gate >> 32n) & 7n);
    let rsp: bigint;
    const tss = cpu.segmentBase(Segment.TR);
    if (ist !== 0) rsp = cpu.readLinear(tss + BigInt(36 + (ist - 1) * 8), 8, IR);
    else if (newCpl < cpl) rsp = cpu.readLinear(tss + BigInt(4 + newCpl * 8), 8, IR);
    else rsp = cpu.gpr(4);
    rsp &= ~15n;
    const frame = [BigInt(oldSs), cpu.gpr(4), BigInt(pushed), BigInt(oldCs), returnRip];
    if (hasError) frame.push(BigInt(event.errorCode!));
    let p = rsp;
    // supervisor stack accesses with new CPL
    cpu.mmu.probe(rsp - BigInt(frame.length * 8), frame.length * 8, newCpl < 3 ? IW : Access.Write);

    for (const v of frame) {
      p -= 8n;
      cpu.writeLinear(p, 8, v, newCpl < 3 ? IW : Access.Write);
    }
    loadCs(cpu, selector, d, newCpl);
    if (newCpl !== cpl) {
      cpu.setSegment(Segment.SS, newCpl, 0x1_0000 | (newCpl << 5), 0, 0n);
      cpu.modeChanged();
    }
    cpu.setGpr(4, p);
    cpu.rip = target;
  } else {
    const size = type & 8 ? 4 : 2;
    let esp = cpu.gpr32(4),
      ssBase = cpu.segmentBase(Segment.SS),
      ss = oldSs,
      ssd: ReturnType<typeof fetchDescriptor> | undefined;
    const frame: number[] = [];
    if (newCpl < cpl) {
      const tss = cpu.segmentBase(Segment.TR);
      esp = Number(cpu.readLinear(tss + BigInt(4 + newCpl * 8), 4, IR));
      ss = Number(cpu.readLinear(tss + BigInt(8 + newCpl * 8), 2, IR));
      ssd = fetchDescriptor(cpu, ss, Vector.TS);
      ssBase = BigInt(ssd.base);
      frame.push(oldSs, cpu.gpr32(4));
    }
    frame.push(pushed, oldCs, Number(returnRip & 0xffff_ffffn));
    if (hasError) frame.push(event.errorCode!);
    let p = esp;
    for (const v of frame) {
      p = (p - size) >>> 0;
      cpu.writeLinear(BigInt.asUintN(32, ssBase + BigInt(p)), size, BigInt(v >>> 0) & (size === 4 ? 0xffff_ffffn : 0xffffn), IW);
    }
    loadCs(cpu, selector, d, newCpl);
    if (ssd) {
      cpu.setSegment(Segment.SS, ss, ssd.access | 1, ssd.limit, BigInt(ssd.base));
      cpu.modeChanged();
    }
    cpu.setGpr32(4, p);
    cpu.rip = size === 4 ? target & 0xffff_ffffn : target & 0xffffn;
  }
  flags &= ~(Flag.TF | Flag.NT | Flag.RF | Flag.VM);
  if ((type & 1) === 0) flags &= ~Flag.IF;
  cpu.setRflags(flags);
  if (event.type === EventType.Nmi) cpu.nmiBlocked = true;
}
