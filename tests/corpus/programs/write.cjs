// Writes the files of SheetJS and ExcelJS. From npm: xlsx@0.18.5, exceljs@4.
const SheetJS = require('xlsx');
const ExcelJS = require('exceljs');

const nine = new Date(Date.UTC(2026, 11, 1, 9));

function sheetjs() {
  const sheet = SheetJS.utils.aoa_to_sheet([
    ['id', 'title', 'dueDate', 'priority', 'done'],
    ['opp_1', 'Zoé 😀\nline', nine, 2, true],
    ['opp_2', 'error'],
    ['opp_3', 'formula'],
    [123, 'zeros'],
    ['opp_4', 'merged'],
    ['opp_5'],
  ]);
  sheet.D3 = {t: 'e', v: 42};
  sheet.D4 = {t: 'n', f: '1+1'};
  sheet.A5.z = '00000000';
  sheet['!merges'] = [{s: {r: 5, c: 1}, e: {r: 6, c: 1}}];
  const book = SheetJS.utils.book_new();
  SheetJS.utils.book_append_sheet(book, sheet, 'Edits');
  for (const type of ['xlsx', 'xls', 'ods', 'xlsb']) {
    SheetJS.writeFile(book, `sheetjs.${type}`, {bookType: type, bookSST: type === 'xlsx'});
  }
}

async function exceljs() {
  const book = new ExcelJS.Workbook();
  const sheet = book.addWorksheet('Edits');
  sheet.addRow(['id', 'title', 'dueDate', 'priority', 'done']);
  sheet.addRow(['opp_1', {richText: [{text: 'Zo'}, {font: {bold: true}, text: 'é 😀'}]}, nine, 2, true]);
  sheet.addRow(['opp_2', 'error', null, {error: '#N/A'}]);
  sheet.addRow(['opp_3', 'formula', null, {formula: '1+1'}]);
  sheet.addRow(['opp_4', 'computed', null, {formula: '1+1', result: 2}]);
  sheet.addRow([{text: 'opp_5', hyperlink: 'http://localhost'}, 'link']);
  sheet.addRow([123, 'zeros']).getCell(1).numFmt = '00000000';
  sheet.addRow(['opp_6', 'merged']);
  sheet.addRow(['opp_7']);
  sheet.mergeCells('B8:B9');
  await book.xlsx.writeFile('exceljs.xlsx');
}

sheetjs();
exceljs();
