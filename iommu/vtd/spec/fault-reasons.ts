/**
 * VT-d specification, "Fault Reason Encodings": those of legacy mode and of interrupt remapping. Dh is for requests that a device with a
 * device-TLB has translated itself, or wants translated: without ECAP.DT there are none, and nothing raises it.
 */
import type { VtdKey } from '../../../spec/vtd';

// prettier-ignore
export const FaultReason = {
  RootNotPresent: 0x01,
  ContextNotPresent: 0x02,
  ContextInvalid: 0x03,
  AddressBeyondMgaw: 0x04,
  WriteDenied: 0x05,
  ReadDenied: 0x06,
  NextTableAccess: 0x07,
  RootTableAccess: 0x08,
  ContextTableAccess: 0x09,
  RootReserved: 0x0a,
  ContextReserved: 0x0b,
  PagingEntryReserved: 0x0c,
  TranslationTypeBlocks: 0x0d,
  OutputInInterruptRange: 0x0e,
  RequestReserved: 0x20,
  IndexBeyondTable: 0x21,
  IrteNotPresent: 0x22,
  IrteAccess: 0x23,
  IrteReserved: 0x24,
  CompatibilityBlocked: 0x25,
  SourceIdMismatch: 0x26,
  PostedDescriptorAccess: 0x27,
  PostedDescriptorReserved: 0x28,
  TableModeInvalid: 0x30,
} as const;
export type FaultReasonCode = (typeof FaultReason)[keyof typeof FaultReason];

export interface FaultReasonRow {
  readonly text: string;
  /** FPD of the context entry or of the IRTE keeps such faults from being recorded. */
  readonly qualified: boolean;
  readonly cite: VtdKey;
}

// prettier-ignore
export const FAULT_REASONS: Readonly<Record<FaultReasonCode, FaultReasonRow>> = {
  0x01: { qualified: false, cite: 'rootEntry',      text: 'the root entry is not present' },
  0x02: { qualified: true,  cite: 'contextEntry',   text: 'the context entry is not present' },
  0x03: { qualified: true,  cite: 'contextEntry',   text: 'the context entry asks for what this hardware does not have' },
  0x04: { qualified: true,  cite: 'adjustedWidth',  text: 'the address is beyond the guest address width' },
  0x05: { qualified: true,  cite: 'secondLevel',    text: 'a paging entry does not permit writing' },
  0x06: { qualified: true,  cite: 'secondLevel',    text: 'a paging entry does not permit reading' },
  0x07: { qualified: true,  cite: 'secondLevel',    text: 'the next table of a paging entry cannot be read' },
  0x08: { qualified: false, cite: 'rootEntry',      text: 'the root table cannot be read' },
  0x09: { qualified: false, cite: 'contextEntry',   text: 'the context table of a root entry cannot be read' },
  0x0a: { qualified: false, cite: 'rootEntry',      text: 'reserved bits are set in the root entry' },
  0x0b: { qualified: true,  cite: 'contextEntry',   text: 'reserved bits are set in the context entry' },
  0x0c: { qualified: true,  cite: 'secondLevel',    text: 'reserved bits are set in a paging entry' },
  0x0d: { qualified: true,  cite: 'contextEntry',   text: 'the translation type of the context entry blocks the request' },
  0x0e: { qualified: true,  cite: 'interruptRange', text: 'the translated address is in the interrupt address range' },
  0x20: { qualified: false, cite: 'requestFormats', text: 'reserved bits are set in the interrupt request' },
  0x21: { qualified: false, cite: 'remappingFlow',  text: 'the interrupt index is beyond the table' },
  0x22: { qualified: true,  cite: 'remappingFlow',  text: 'the interrupt remapping table entry is not present' },
  0x23: { qualified: false, cite: 'remappingFlow',  text: 'the interrupt remapping table cannot be read' },
  0x24: { qualified: true,  cite: 'remappingFlow',  text: 'reserved bits are set in the interrupt remapping table entry' },
  0x25: { qualified: false, cite: 'requestFormats', text: 'interrupts in compatibility format are blocked' },
  0x26: { qualified: true,  cite: 'remappingFlow',  text: 'the requester is not the one that the interrupt remapping table entry names' },
  0x27: { qualified: true,  cite: 'posting',        text: 'the posted interrupt descriptor cannot be accessed' },
  0x28: { qualified: true,  cite: 'posting',        text: 'reserved bits are set in the posted interrupt descriptor' },
  0x30: { qualified: false, cite: 'rootEntry',      text: 'the translation table mode of the root table address is not supported' },
};

export const isInterruptReason = (reason: number): boolean => reason >= 0x20 && reason < 0x30;
