/**
 * A guest of 250 bytes for the 64-bit flat convention that is, at one time or another, everywhere a snapshot can find a processor: inside
 * REP MOVSB and REP STOSB, in the shadow of STI and of MOV SS, halted, in an interrupt handler, behind code that it has just changed.
 *
 *   tick:                                   main: STI; INC R8
 *     PUSH RAX; PUSH RDX                          REP STOSB        1800 bytes of R8B at 120800h, over a page boundary
 *     INC ticks                                   REP MOVSB        1500 bytes from there to 123000h
 *     'a' + ticks mod 16 to COM1                  CLI
 *     EOI to the 8259                             INC the immediate of the next instruction
 *     POP RDX; POP RAX; IRETQ                     MOV AL, imm; ADD R9B, AL
 *                                                 STI; HLT; MOV SS, AX; INC R10
 *   start: IDT at 110000h, IRQ0 to vector         until ticks = 40
 *     20h, PIT in mode 2 every 3 cycles           S5 through the ACPI PM1a control block; CLI; HLT
 */
export const SNAPSHOT_KERNEL = Uint8Array.from(
  Buffer.from(
    [
      'eb20505248ff05e50000008a05df000000240f046166baf803eeb020e6205a5848cfbf00001100488d05d4ffffff668987000200008c8f0202000066',
      'c78704020000008e48c1e8106689870602000048c1e810898708020000c7870c020000000000004883ec1066c70424ff0f48897c24020f011c244883',
      'c410b011e620b020e621b004e621b001e621b0fee621b034e643b003e640b000e640fb49ffc0bf00081200b9080700004488c0f3aabe00081200bf00',
      '301200b9dc050000f3a4fafe0501000000b0004100c1fbf4668cd08ed049ffc248833d140000002872bc66ba040666b8003c66effaf4909090909090',
      '0000000000000000',
    ].join(''),
    'hex',
  ),
);

/** What it prints in `ticks` ticks. */
export const snapshotKernelOutput = (ticks: number): string => Array.from({ length: ticks }, (_, i) => String.fromCharCode(97 + ((i + 1) & 15))).join('');
