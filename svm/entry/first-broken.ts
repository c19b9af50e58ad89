/** What VMRUN itself asks of the rules: is one broken? */
import { Cr0, Cr4, Efer } from '../../cpu/registers';
import { EventInfo, EventType, Intercept3, Intercept4, VIntr } from '../controls';
import { VMCB } from '../vmcb/layout';
import {
  SegmentAttribute,
  csAttributes,
  firstBroken as firstBrokenOf,
  high,
  injectedType,
  low,
  isPatHalf,
  nestedPaging,
  type EntryCheck,
  type EntryState,
} from './check';
import { CHECK_GROUPS } from './groups';

/** The first broken rule, undefined when the guest may run. Changes nothing. */
export function firstBroken(s: EntryState): EntryCheck | undefined {
  if (allHold(s)) return undefined;
  for (const { checks, applies } of CHECK_GROUPS) {
    if (applies !== undefined && !applies(s)) continue;
    const broken = firstBrokenOf(checks, s);
    if (broken !== undefined) return broken;
  }
  return undefined;
}

/** The permissions maps have at most three pages. */
const LAST_MAP_BASE = 2 ** 32 - 3 * 4096;
const L_AND_D = SegmentAttribute.L | SegmentAttribute.D;
/** Types INTR, NMI and software interrupt. */
const INJECTED_FREELY = (1 << EventType.INTR) | (1 << EventType.NMI) | (1 << EventType.SOFTWARE_INTERRUPT);

/** A permissions map at the field's address certainly ends below the limit; `highest` are the upper 32 bits of the highest address. */
const isMap = (s: EntryState, offset: number, highest: number): boolean =>
  high(s, offset) < highest || (high(s, offset) === highest && low(s, offset) < LAST_MAP_BASE);

/**
 * True: no rule is broken, without asking the tables, for VMRUN's sake. False: the tables must say, either because a rule is broken or
 * because the guest has something unusual (an injected exception, PAE paging without nested paging, CET).
 */
function allHold(s: EntryState): boolean {
  const cr0 = low(s, VMCB.CR0);
  const cr4 = low(s, VMCB.CR4);
  const efer = low(s, VMCB.EFER);
  const highest = (1 << (s.physicalAddressWidth - 32)) - 1;

  if ((low(s, VMCB.INTERCEPTS_4) & Intercept4.VMRUN) === 0 || low(s, VMCB.GUEST_ASID) === 0) return false;
  if ((low(s, VMCB.V_INTR) & VIntr.V_NMI_ENABLE) !== 0 && (low(s, VMCB.INTERCEPTS_3) & Intercept3.NMI) === 0) return false;
  if (!isMap(s, VMCB.IOPM_BASE_PA, highest) || !isMap(s, VMCB.MSRPM_BASE_PA, highest)) return false;

  if ((high(s, VMCB.CR0) | high(s, VMCB.CR4) | high(s, VMCB.DR6) | high(s, VMCB.DR7) | high(s, VMCB.EFER)) !== 0) return false;
  if ((efer & Efer.SVME) === 0 || (efer & ~s.supportedEfer) !== 0) return false;
  if ((cr4 & ~s.supportedCr4) !== 0 || (cr4 & Cr4.CET) !== 0 || (low(s, VMCB.S_CET) | high(s, VMCB.S_CET)) !== 0) return false;
  if ((cr0 & (Cr0.CD | Cr0.NW)) === Cr0.NW || high(s, VMCB.CR3) > highest) return false;

  const nested = nestedPaging(s);
  if ((cr0 & Cr0.PG) !== 0) {
    if ((efer & Efer.LME) !== 0) {
      if ((cr0 & Cr0.PE) === 0 || (cr4 & Cr4.PAE) === 0) return false;
      if ((csAttributes(s) & L_AND_D) === L_AND_D) return false;
    } else if (!nested && (cr4 & Cr4.PAE) !== 0) return false;
  }
  if (nested && (!s.hostPaging || high(s, VMCB.N_CR3) > highest || !isPatHalf(low(s, VMCB.G_PAT)) || !isPatHalf(high(s, VMCB.G_PAT)))) return false;
  return (low(s, VMCB.EVENTINJ) & EventInfo.VALID) === 0 || ((INJECTED_FREELY >>> injectedType(s)) & 1) !== 0;
}
