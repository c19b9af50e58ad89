/** What a write of the interrupt command register asks for: SDM "Interrupt Command Register (ICR)". */
import type { OutgoingIpi } from './local-apic-options';
import { DeliveryMode, FIRST_VECTOR, Icr, Shorthand } from './registers';

/** The shorthand names the sender, too or alone. */
export const includesSelf = (shorthand: number): boolean => shorthand === Shorthand.Self || shorthand === Shorthand.AllIncludingSelf;

/** @param wide the 32-bit destination of x2APIC mode, otherwise bits 31:24. Undefined: nothing is sent. */
export function interruptCommand(low: number, high: number, wide: boolean): OutgoingIpi | 'illegal vector' | undefined {
  const vector = low & Icr.VECTOR;
  const deliveryMode = (low & Icr.MODE) >>> Icr.MODE_SHIFT;
  const shorthand = low >>> Icr.SHORTHAND_SHIFT;
  if ((deliveryMode === DeliveryMode.Fixed || deliveryMode === DeliveryMode.LowestPriority) && vector < FIRST_VECTOR) return 'illegal vector';
  // "INIT Level De-assert" synchronises arbitration ids, which no longer exist.
  if (deliveryMode === DeliveryMode.Init && (low & (Icr.LEVEL | Icr.ASSERT)) === Icr.LEVEL) return undefined;
  // "Valid Combinations for the Local APIC ICR": to oneself only fixed interrupts go by shorthand; there are no ExtINT messages.
  if (deliveryMode === DeliveryMode.ExtInt || (includesSelf(shorthand) && deliveryMode !== DeliveryMode.Fixed)) return undefined;
  return { vector, deliveryMode, destination: wide ? high : high >>> 24, logical: (low & Icr.LOGICAL) !== 0, shorthand };
}
