/** Completion status: NVM Express Base Specification 1.4, "Status Field Definition". Status code type in bits 10:8, status code in bits 7:0. */

export const Status = {
  SUCCESS: 0x000,
  INVALID_OPCODE: 0x001,
  INVALID_FIELD: 0x002,
  DATA_TRANSFER_ERROR: 0x004,
  ABORT_REQUESTED: 0x007,
  ABORTED_SQ_DELETED: 0x008,
  INVALID_NAMESPACE: 0x00b,
  COMMAND_SEQUENCE_ERROR: 0x00c,
  PRP_OFFSET_INVALID: 0x013,
  NAMESPACE_WRITE_PROTECTED: 0x020,
  LBA_OUT_OF_RANGE: 0x080,
  COMPLETION_QUEUE_INVALID: 0x100,
  INVALID_QUEUE_IDENTIFIER: 0x101,
  INVALID_QUEUE_SIZE: 0x102,
  ASYNC_EVENT_LIMIT: 0x105,
  INVALID_INTERRUPT_VECTOR: 0x108,
  INVALID_LOG_PAGE: 0x109,
  INVALID_QUEUE_DELETION: 0x10c,
  FEATURE_NOT_SAVEABLE: 0x10d,
  FEATURE_NOT_CHANGEABLE: 0x10e,
  FEATURE_NOT_NAMESPACE_SPECIFIC: 0x10f,
  WRITE_FAULT: 0x280,
  UNRECOVERED_READ_ERROR: 0x281,
  COMPARE_FAILURE: 0x285,
} as const;

export type StatusCode = (typeof Status)[keyof typeof Status];

/** "Do Not Retry": the same command will fail again. */
const DNR = 0x4000;
const RETRYABLE: ReadonlySet<StatusCode> = new Set([Status.SUCCESS, Status.DATA_TRANSFER_ERROR, Status.ABORT_REQUESTED, Status.ABORTED_SQ_DELETED]);

/** Bits 31:17 of the last dword of a completion, without the phase tag. */
export const statusField = (status: StatusCode): number => (RETRYABLE.has(status) ? status : status | DNR);
