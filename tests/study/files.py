"""Documents for tests, made when they are needed: good ones of every format, and the hostile set."""

from __future__ import annotations

import io
import struct
import zipfile
import zlib

from reportlab.lib import pdfencrypt
from reportlab.pdfgen.canvas import Canvas

ENGLISH = (
    "A barometer is an instrument that measures the pressure of the air. An anemometer is an instrument that measures the "
    "speed of the wind. The troposphere is the lowest layer of the atmosphere. A glacier is a large body of ice that moves "
    "slowly down a slope. In 1643, Evangelista Torricelli built the first barometer in Florence. Humidity is the amount of "
    "water vapour that the air holds."
)
FRENCH = (
    "Un baromètre est un instrument qui mesure la pression de l'air. Un anémomètre "
    "est un instrument qui mesure la vitesse du "
    "vent. La troposphère est la couche la plus basse de l'atmosphère. Un glacier est une grande masse de glace qui descend "
    "lentement une pente. En 1643, Evangelista Torricelli a construit le premier baromètre à Florence. L'humidité est la "
    "quantité de vapeur d'eau que l'air contient."
)


def pdf(pages: list[str], *, user_password: str | None = None, owner_only: bool = False) -> bytes:
    from reportlab.lib.utils import simpleSplit

    encryption = None
    if user_password or owner_only:
        encryption = pdfencrypt.StandardEncryption(user_password or "", ownerPassword="owner", canPrint=0)
    buffer = io.BytesIO()
    canvas = Canvas(buffer, encrypt=encryption, invariant=1)
    for page in pages:
        for line, text in enumerate(simpleSplit(page, "Helvetica", 11, 450)):
            canvas.drawString(60, 780 - 15 * line, text)
        canvas.showPage()
    canvas.save()
    return buffer.getvalue()


def scan(pages: int = 3) -> bytes:
    """Pages that show a drawing and no text."""
    buffer = io.BytesIO()
    canvas = Canvas(buffer, invariant=1)
    for _ in range(pages):
        canvas.rect(50, 50, 400, 700, fill=1)
        canvas.showPage()
    canvas.save()
    return buffer.getvalue()


def pdf_bomb(megabytes: int = 600) -> bytes:
    """A page whose content stream unpacks to `megabytes` MiB of drawing operators."""
    packer = zlib.compressobj(9)
    block = b"BT (a) Tj ET\n" * 80_660
    stream = b"".join(packer.compress(block) for _ in range(megabytes)) + packer.flush()
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents 4 0 R /Resources << /Font << /F1 5 0 R >> >> >>",
        b"<< /Length %d /Filter /FlateDecode >>\nstream\n" % len(stream) + stream + b"\nendstream",
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
    ]
    out = bytearray(b"%PDF-1.4\n")
    offsets = []
    for number, body in enumerate(objects, 1):
        offsets.append(len(out))
        out += b"%d 0 obj\n" % number + body + b"\nendobj\n"
    start = len(out)
    out += b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1)
    out += b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    out += b"trailer << /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF" % (len(objects) + 1, start)
    return bytes(out)


_CONTENT_TYPES = (
    '<?xml version="1.0" encoding="UTF-8"?><Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types">'
    '<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
    '<Default Extension="xml" ContentType="application/xml"/>'
    '<Override PartName="/word/document.xml" ContentType="application/vnd.openxmlformats-officedocument.'
    'wordprocessingml.document.main+xml"/></Types>'
)
_RELATIONS = (
    '<?xml version="1.0" encoding="UTF-8"?>'
    '<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">'
    '<Relationship Id="rId1" Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/officeDocument" '
    'Target="word/document.xml"/></Relationships>'
)
_WORD = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"


def docx(paragraphs: list[str], *, doctype: str = "", filler: int = 0, extra: dict[str, bytes] | None = None) -> bytes:
    """A Word file; `filler` mebibytes of spaces make it a bomb, `extra` adds members."""
    body = "".join(f"<w:p><w:r><w:t xml:space='preserve'>{text}</w:t></w:r></w:p>" for text in paragraphs)
    head = f'<?xml version="1.0" encoding="UTF-8"?>{doctype}<w:document xmlns:w="{_WORD}"><w:body>'
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("[Content_Types].xml", _CONTENT_TYPES)
        archive.writestr("_rels/.rels", _RELATIONS)
        with archive.open("word/document.xml", "w", force_zip64=True) as member:
            member.write(head.encode())
            for _ in range(filler):
                member.write(b" " * (1024 * 1024))
            member.write(f"{body}</w:body></w:document>".encode())
        for name, content in (extra or {}).items():
            archive.writestr(name, content)
    return buffer.getvalue()


def odt(paragraphs: list[str]) -> bytes:
    body = "".join(f"<text:p>{text}</text:p>" for text in paragraphs)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("mimetype", "application/vnd.oasis.opendocument.text")
        archive.writestr(
            "META-INF/manifest.xml",
            '<manifest:manifest xmlns:manifest="urn:oasis:names:tc:opendocument:xmlns:manifest:1.0"><manifest:file-entry '
            'manifest:full-path="/" manifest:media-type="application/vnd.oasis.opendocument.text"/></manifest:manifest>',
        )
        archive.writestr(
            "content.xml",
            '<office:document-content xmlns:office="urn:oasis:names:tc:opendocument:xmlns:office:1.0" '
            'xmlns:text="urn:oasis:names:tc:opendocument:xmlns:text:1.0"><office:body><office:text>'
            f"{body}</office:text></office:body></office:document-content>",
        )
    return buffer.getvalue()


def epub(paragraphs: list[str]) -> bytes:
    body = "".join(f"<p>{text}</p>" for text in paragraphs)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("mimetype", "application/epub+zip")
        archive.writestr(
            "META-INF/container.xml",
            '<container version="1.0" xmlns="urn:oasis:names:tc:opendocument:xmlns:container"><rootfiles>'
            '<rootfile full-path="book.opf" media-type="application/oebps-package+xml"/></rootfiles></container>',
        )
        archive.writestr(
            "book.opf",
            '<package version="3.0" xmlns="http://www.idpf.org/2007/opf" unique-identifier="i"><metadata '
            'xmlns:dc="http://purl.org/dc/elements/1.1/"><dc:identifier id="i">1</dc:identifier><dc:title>Book</dc:title>'
            '<dc:language>en</dc:language></metadata><manifest><item id="a" href="a.xhtml" '
            'media-type="application/xhtml+xml"/></manifest><spine><itemref idref="a"/></spine></package>',
        )
        archive.writestr(
            "a.xhtml",
            f'<!DOCTYPE html><html xmlns="http://www.w3.org/1999/xhtml"><head><title>a</title></head><body>{body}</body></html>',
        )
    return buffer.getvalue()


def pptx(slides: list[str]) -> bytes:
    """A presentation with one text box a slide."""
    main = "http://schemas.openxmlformats.org/presentationml/2006/main"
    drawing = "http://schemas.openxmlformats.org/drawingml/2006/main"
    office = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
    package = "http://schemas.openxmlformats.org/package/2006/relationships"
    kind = "application/vnd.openxmlformats-officedocument.presentationml"
    parts = "".join(
        f'<Override PartName="/ppt/slides/slide{number}.xml" ContentType="{kind}.slide+xml"/>'
        for number in range(1, len(slides) + 1)
    )
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(
            "[Content_Types].xml",
            '<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types"><Default Extension="rels" '
            'ContentType="application/vnd.openxmlformats-package.relationships+xml"/><Default Extension="xml" '
            f'ContentType="application/xml"/><Override PartName="/ppt/presentation.xml" '
            f'ContentType="{kind}.presentation.main+xml"/>{parts}</Types>',
        )
        archive.writestr("_rels/.rels", _RELATIONS.replace("word/document.xml", "ppt/presentation.xml"))
        links = "".join(
            f'<Relationship Id="rId{number}" Type="{office}/slide" Target="slides/slide{number}.xml"/>'
            for number in range(1, len(slides) + 1)
        )
        archive.writestr("ppt/_rels/presentation.xml.rels", f'<Relationships xmlns="{package}">{links}</Relationships>')
        ids = "".join(f'<p:sldId id="{255 + number}" r:id="rId{number}"/>' for number in range(1, len(slides) + 1))
        archive.writestr(
            "ppt/presentation.xml",
            f'<p:presentation xmlns:p="{main}" xmlns:r="{office}"><p:sldIdLst>{ids}</p:sldIdLst></p:presentation>',
        )
        for number, text in enumerate(slides, 1):
            archive.writestr(
                f"ppt/slides/slide{number}.xml",
                f'<p:sld xmlns:p="{main}" xmlns:a="{drawing}"><p:cSld><p:spTree><p:sp><p:nvSpPr><p:cNvPr id="2" name="t"/>'
                f"<p:cNvSpPr/><p:nvPr/></p:nvSpPr><p:spPr/><p:txBody><a:bodyPr/><a:p><a:r><a:t>{text}</a:t></a:r></a:p>"
                "</p:txBody></p:sp></p:spTree></p:cSld></p:sld>",
            )
    return buffer.getvalue()


def lying_zip(megabytes: int = 300) -> bytes:
    """A DOCX whose directory says that the large member is small."""
    content = bytearray(docx([ENGLISH], filler=megabytes))
    at = content.find(b"PK\x01\x02")
    while at >= 0:
        size = struct.unpack_from("<I", content, at + 24)[0]
        if size > 1024 * 1024:
            struct.pack_into("<I", content, at + 24, 5000)
        at = content.find(b"PK\x01\x02", at + 4)
    return bytes(content)


def encrypted_office() -> bytes:
    """The outside of a password-protected DOCX: an OLE container with an EncryptedPackage stream."""
    return b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\x00" * 1000 + "EncryptedPackage".encode("utf-16-le") + b"\x00" * 500


LAUGHS = (
    "<!DOCTYPE w [<!ENTITY a 'ha'>"
    + "".join(f"<!ENTITY {chr(98 + n)} '{f'&{chr(97 + n)};' * 10}'>" for n in range(10))
    + "]>"
)
XXE = "<!DOCTYPE w [<!ENTITY secret SYSTEM 'file:///etc/passwd'>]>"
