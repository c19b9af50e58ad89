/** STGI and CLGI: the global interrupt flag, or the virtual one of a guest that has it. APM "Virtual GIF (VGIF)". */
import { VIntr } from '../controls';
import type { Svm } from '../svm';

export function setGif(svm: Svm, value: boolean): void {
  if (svm.guestMode && (svm.virtualInterrupt & VIntr.V_GIF_ENABLE) !== 0) {
    svm.virtualInterrupt = value ? svm.virtualInterrupt | VIntr.V_GIF : svm.virtualInterrupt & ~VIntr.V_GIF;
  } else svm.gif = value;
  if (value) svm.cpu.attention = true;
}
