/** EXITINFO1 and EXITINFO2 of instruction intercepts. APM "Decode Assists", "IOIO Intercepts", "Task Switch Intercept". */
import type { Insn } from '../../cpu/decoder/insn';
import { IOIO_PORT_SHIFT, IOIO_SEGMENT_SHIFT, IoioInfo, TaskSwitchInfoHigh } from '../controls';

/** EXITINFO1 of IN, OUT, INS and OUTS. */
export function ioioInfo(insn: Insn, port: number, bytes: number, input: boolean, string: boolean): number {
  const size = bytes === 1 ? IoioInfo.SIZE_8 : bytes === 2 ? IoioInfo.SIZE_16 : IoioInfo.SIZE_32;
  let info = size | (input ? IoioInfo.IN : 0) | (port << IOIO_PORT_SHIFT);
  if (string) {
    const address = insn.addressSize === 16 ? IoioInfo.ADDRESS_16 : insn.addressSize === 32 ? IoioInfo.ADDRESS_32 : IoioInfo.ADDRESS_64;
    // INS always writes to ES (0).
    info |= IoioInfo.STRING | address | (insn.rep !== 0 ? IoioInfo.REP : 0) | (input ? 0 : insn.segment << IOIO_SEGMENT_SHIFT);
  }
  return info >>> 0;
}

/** EXITINFO2[63:32] of a task switch. @param source 0 CALL, 1 IRET, 2 JMP, 3 an event. */
export function taskSwitchInfoHigh(source: number, hasErrorCode: boolean, rf: boolean): number {
  const how = source === 1 ? TaskSwitchInfoHigh.IRET : source === 2 ? TaskSwitchInfoHigh.FAR_JUMP : 0;
  return how | (hasErrorCode ? TaskSwitchInfoHigh.ERROR_CODE : 0) | (rf ? TaskSwitchInfoHigh.RF : 0);
}
